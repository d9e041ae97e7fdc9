"""A measurement with numbers of which ratios are easily told by hand."""


def machine(**cpu):
    rates = {"matrix_float32": 8e10, "matrix_bfloat16": None, "conv3d_float32": 6e10, "copy": 1e10}
    found = {"model": "Some CPU", "cores": 2, "flags": ["avx2"], "amx": False, "memory_bytes": 24 * 10**9}
    return {
        "cpu": {**found, "avx512_bf16": False, "system": "Linux", **cpu},
        "device": "cpu",
        "versions": {"python": "3.11.7", "scanseg": "0.1.0"},
        "backends": {"mlstm": "chunkwise"},
        "rates": rates,
    }


def record(*rows, quick=False, **cpu):
    return {
        "format": 2,
        "date": "2026-01-31",
        "command": "python -m benchmarks --work all",
        "works": sorted({row["work"] for row in rows}),
        "settings": {"repeats": 3, "threads": 2, "seed": 0, "quick": quick, "device": "cpu"},
        "machine": machine(**cpu),
        "rows": list(rows),
    }


def row(work, case, name, seconds=None, **more):
    times = {} if seconds is None else {"seconds": seconds}
    return {"work": work, "case": case, "name": name, **times, **more}
