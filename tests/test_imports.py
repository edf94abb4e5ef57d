"""No module of the product imports itself by way of others."""

from graphlib import TopologicalSorter

import grimp


def test_no_imports_are_circular() -> None:
    graph = grimp.build_graph("api", "models", "luthier", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules
