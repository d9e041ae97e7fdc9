"""Tables of given times, computed by hand."""

import pytest
from made_records import record, row

from benchmarks.bars import BARS
from benchmarks.tables import tables


def only(found, group):
    (table,) = found[group]
    return table


def test_machine_comes_first():
    found = tables(record())
    assert list(found) == ["limits"]
    lines = dict(only(found, "limits").rows)
    assert lines["processor"] == "Some CPU, 2 cores, 24 GB of memory"
    assert lines["matrix product, float32"] == "80.0 GFLOP/s"
    assert lines["matrix product, bfloat16"] == "not available"
    assert lines["copy in memory, read and write"] == "10.0 GB/s"


def test_kernels():
    size = {"bytes": 10**7}  # 1 ms at 10 GB/s
    found = tables(
        record(
            row("kernels/mlstm", "64 tokens", "chunkwise", [0.002, 0.004, 0.003], ours=True, **size),
            row("kernels/mlstm", "64 tokens", "mlstm_kernels", ours=False, failed="no wheel", **size),
            row("kernels/mlstm", "64 tokens", "naive", [0.012, 0.04], ours=False, **size),
        )
    )
    table = only(found, "kernels")
    assert table.rows == [
        ("64 tokens", "chunkwise (default)", "3.00 ms", "1.00", "8.00", "3.00"),
        ("64 tokens", "naive", "26.0 ms", "8.00", "1.00", "26.0"),
    ]
    assert table.notes == ["mlstm_kernels (64 tokens): no wheel"]


def test_networks():
    case = "forward, 1 × 1 × 48 × 160 × 224"
    found = tables(
        record(
            row("networks/mri", case, "xLSTM-UNet Bot", [3.0, 8.0, 2.0], ours=True, peak_bytes=2_500_000_000),
            row("networks/mri", case, "xLSTM-UNet Enc", [6.0, 6.0, 6.0], ours=True, peak_bytes=None),
            row("networks/mri", case, "DynUNet", [2.0, 4.0, 4.0], ours=False, peak_bytes=10**9),
            row("networks/mri", case, "SwinUNETR", ours=False, failed="must be divisible by 32"),
        )
    )
    table = only(found, "networks")
    assert table.columns == ("work", "network", "time", "xLSTM-UNet Bot / it", "xLSTM-UNet Enc / it", "peak memory")
    assert [line[1:] for line in table.rows] == [
        ("xLSTM-UNet Bot", "3.00 s", "", "2.00", "2.50 GB"),
        ("xLSTM-UNet Enc", "6.00 s", "0.500", "", ""),
        ("DynUNet", "4.00 s", "1.50", "1.50", "1.00 GB"),
    ]
    assert table.notes == [f"SwinUNETR ({case}): must be divisible by 32"]


def test_share_of_the_matrix_rate():
    case = "forward, 1 × 1 × 224 × 224"
    found = tables(
        record(
            row("networks/msvm", case, "MSVM-UNet", [0.2, 0.1], ours=True, peak_bytes=10**9, operations=9 * 10**9),
            row("networks/msvm", case, "UNETR", [0.3, 0.3], ours=False, peak_bytes=10**9),
        )
    )
    table = only(found, "networks")
    assert table.columns[-2:] == ("of the matrix rate", "peak memory")
    assert [line[-2] for line in table.rows] == ["75 %", ""]  # 60 of 80 GFLOP/s
    assert "three forward passes" in table.about


def test_label_maps_of_two_precisions():
    found = tables(
        record(
            row("networks/bfloat16", "MSVM-UNet", "float32", [2.0], ours=False),
            row("networks/bfloat16", "MSVM-UNet", "bfloat16", [1.0], ours=True),
            row(
                "networks/bfloat16", "maps", "both", voxels=1000, equal_voxels=999,
                foreground_voxels=10, equal_foreground_voxels=9, dice={"1": 0.95, "2": None},
            ),
        )
    )  # fmt: skip
    times, maps = found["networks"]
    assert [line[1:] for line in times.rows] == [("float32", "2.00 s", "0.500"), ("bfloat16", "1.00 s", "")]
    assert maps.rows == [("maps", "99.900 %", "90.000 %", "0.9500 —")]


def test_pipeline():
    times = {"sample_seconds": 8.0, "wait_seconds": [50.0, 1.0, 1.0], "step_seconds": [70.0, 3.0, 5.0]}
    facts = {"batch": 4, "workers": 2, "samples": 20, "memory_bytes": 2 * 10**9}
    found = tables(record(row("pipeline/msvm_acdc", "msvm_acdc", "cache_rate 0", **times, **facts)))
    expected = ("msvm_acdc", "cache_rate 0", "2", "4", "2.50", "4.00 s", "20.0 %", "2.00 GB")
    assert only(found, "pipeline").rows == [expected]


def test_growth():
    points = {10: [0.1], 100: [1.0], 1000: [10.0]}
    found = tables(record(*(row("scaling/mlstm", "tokens", "chunkwise", t, x=x) for x, t in points.items())))
    assert only(found, "scaling").rows == [("chunkwise", "1.00", "10: 100 ms, 100: 1.00 s, 1,000: 10.0 s")]


def test_memory_has_a_column_a_mode():
    common = {"patch": [224, 224]}
    found = tables(
        record(
            row("memory/msvm", "MSVM-UNet, 224²", "batch 1", mode="inference", batch=1, peak_bytes=10**9, **common),
            row("memory/msvm", "MSVM-UNet, 224²", "batch 1", mode="training", batch=1, peak_bytes=2 * 10**9, **common),
            row("memory/msvm", "MSVM-UNet, 224²", "batch 4", mode="inference", batch=4, peak_bytes=10**10, **common),
            row("memory/msvm", "MSVM-UNet, 224²", "batch 4", mode="training", batch=4, failed="too large", **common),
        )
    )
    table = only(found, "memory")
    assert table.columns == ("network, patch", "batch", "inference", "training")
    assert table.rows == [
        ("MSVM-UNet, 224²", "1", "1.00 GB", "2.00 GB"),
        ("MSVM-UNet, 224²", "4", "10.00 GB", "—"),
    ]
    assert table.notes == ["batch 4, training (MSVM-UNet, 224²): too large"]


SCAN = "1 × 96 × 56 × 56, forward"
FORWARD, STEP = "forward, 1 × 1 × 224 × 224", "training step, 2 × 1 × 224 × 224"
MSVM_FORWARD = [
    row("networks/msvm", FORWARD, "MSVM-UNet", [1.0, 1.2, 0.8], ours=True),
    row("networks/msvm", FORWARD, "SwinUNETR", [2.0, 1.0, 1.0], ours=False),
]
ALL_BARS = [
    *MSVM_FORWARD,
    row("networks/msvm", "forward, 2 × 1 × 224 × 224", "MSVM-UNet", [9.0], ours=True),
    row("networks/msvm", STEP, "MSVM-UNet", [3.0], ours=True),
    row("networks/msvm", STEP, "SwinUNETR", [5.0], ours=False),
    row("networks/mri", "forward, 1", "xLSTM-UNet Bot", [6.0], ours=True),
    row("networks/mri", "forward, 1", "xLSTM-UNet Enc", [8.0], ours=True, peak_bytes=2_700_000_000),
    row("networks/mri", "forward, 1", "DynUNet", [4.0], ours=False),
    row("networks/mri", "training step, 1", "xLSTM-UNet Bot", [5.0], ours=True, peak_bytes=6_000_000_000),
    row("networks/mri", "training step, 1", "xLSTM-UNet Enc", [8.0], ours=True, peak_bytes=9_000_000_000),
    row("networks/mri", "training step, 1", "DynUNet", [4.0], ours=False, peak_bytes=6_000_000_000),
    row("networks/bfloat16", "xLSTM-UNet Bot, training step, 1", "float32", [4.0], ours=False),
    row("networks/bfloat16", "xLSTM-UNet Bot, training step, 1", "bfloat16", [2.0], ours=True),
    row("networks/endoscopy", "training step, 1", "xLSTM-UNet Enc", [1.3], ours=True, peak_bytes=None),
    row("networks/endoscopy", "training step, 1", "DynUNet", [1.0], ours=False, peak_bytes=None),
    row("scaling/mlstm", "tokens", "chunkwise", [0.5], x=13440),
    row("scaling/mlstm", "tokens", "chunkwise", [0.25], x=6720),
    row("scaling/mlstm", "tokens", "naive", [9.0], x=13440),
    row("networks/vil_share", "forward", "xLSTM-UNet Enc", [10.0] * 3, ours=True, part_seconds=[0.1, 0.3, 0.4]),
    row("inference/windows", "volume", "EvenWindowInferer", [9.0, 9.1], ours=True, peak_bytes=1_500_000_000),
    row("inference/windows", "volume", "MONAI's sliding windows", [10.0, 13.0], ours=False, peak_bytes=2_500_000_000),
    row("inference/windows", "volume", "nnU-Net's sliding windows", [9.0, 10.0], ours=False, peak_bytes=1_500_000_000),
    row("kernels/cross_selective_scan", SCAN, "numba", [0.002, 0.001, 0.004], ours=True, bytes=10**7),
    row("kernels/cross_selective_scan", f"{SCAN} and backward", "numba", [9.0], ours=True, bytes=10**7),
    row("networks/bfloat16", "MSVM-UNet, forward, 1", "float32", [1.0], ours=False),
    row("networks/bfloat16", "MSVM-UNet, forward, 1", "bfloat16", [0.5], ours=True),
    row("networks/bfloat16", "xLSTM-UNet Bot, forward, 1", "float32", [1.0], ours=False),
    row("networks/bfloat16", "xLSTM-UNet Bot, forward, 1", "bfloat16", [0.7], ours=True),
]
EXPECTED = [
    ("0.80", "≤ 0.65", "≤ 0.5", "miss"),
    ("0.60", "≤ 0.65", "≤ 0.5", "ok"),
    ("1.50", "≤ 0.85", "≤ 0.7", "miss"),
    ("2.00", "≤ 1.1", "≤ 0.9", "miss"),
    ("1.25", "≤ 1.25", "≤ 1", "ok"),
    ("2.00", "≤ 1.6", "≤ 1.25", "miss"),
    ("1.00", "≤ 1.1", "≤ 0.9", "ok"),
    ("1.50", "≤ 1.3", "≤ 1", "miss"),
    ("0.50", "≤ 0.65", "≤ 0.5", "ok, aim reached"),
    ("1.30", "≤ 1.5", "≤ 1.2", "ok"),
    ("2.00", "≤ 2.6", "≤ 2", "ok, aim reached"),
    ("3.00 %", "≤ 5 %", "≤ 2 %", "ok"),
    ("2.70 GB", "≤ 2.6 GB", "≤ 1.5 GB", "miss"),
    ("0.80", "≤ 0.9", "≤ 0.9", "ok, aim reached"),
    ("0.60", "≤ 0.7", "≤ 0.7", "ok, aim reached"),
    ("0.95", "≤ 0.9", "≤ 0.9", "miss"),
    ("1.00", "≤ 0.7", "≤ 0.7", "miss"),
    ("2.00", "≤ 6", "≤ 3", "ok, aim reached"),
]


@pytest.mark.parametrize(
    ("amx", "verdicts"), [(False, ["no AMX", "no AMX"]), (True, ["ok", "miss"])], ids=["no AMX", "AMX"]
)
def test_bars(amx, verdicts):
    table = only(tables(record(*ALL_BARS, amx=amx, avx512_bf16=True)), "bars")
    assert [line[0] for line in table.rows] == [bar.title for bar in BARS]
    assert [line[1:] for line in table.rows[: len(EXPECTED)]] == EXPECTED
    assert [line[1] for line in table.rows[len(EXPECTED) :]] == ["0.50", "0.70"]
    assert [line[4] for line in table.rows[len(EXPECTED) :]] == verdicts


@pytest.mark.parametrize(
    ("rate", "verdict"),  # 91.5 million operations, 1 ms to read and write
    [(8e10, "miss"), (1e10, "miss: its arithmetic alone takes 9.15")],
)
def test_bar_below_the_time_of_the_arithmetic(rate, verdict):
    found = record(row("kernels/cross_selective_scan", SCAN, "numba", [0.02], ours=True, bytes=10**7))
    found["machine"]["rates"]["matrix_float32"] = rate
    assert only(tables(found), "bars").rows[0][1:] == ("20.00", "≤ 6", "≤ 3", verdict)


def test_bars_that_could_not_be_measured():
    failed = row("networks/msvm", FORWARD, "SwinUNETR", ours=False, failed="needs einops")
    found = tables(record(MSVM_FORWARD[0], failed))
    assert [line[1:] for line in only(found, "bars").rows] == [
        ("—", "≤ 0.65", "≤ 0.5", "not measured"),
        ("—", "≤ 0.65", "≤ 0.5", "not measured"),
    ]
    assert only(found, "networks").notes == [f"SwinUNETR ({FORWARD}): needs einops"]


def test_bars_of_a_quick_run_do_not_count():
    table = only(tables(record(*MSVM_FORWARD, quick=True)), "bars")
    assert [line[4] for line in table.rows] == ["quick run", "not measured"]
