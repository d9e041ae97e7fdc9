"""What TorchScript recorded."""


def namespaces(graph):
    """Namespaces of the operators in a graph and its blocks, such as "aten"; source comments hold paths of files."""
    return {kind.partition("::")[0] for kind in _kinds(graph)}


def _kinds(block):
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)
