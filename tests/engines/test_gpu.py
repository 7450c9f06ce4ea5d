"""On an NVIDIA GPU (`make test-gpu`): every network that ships gives there what it gives on a CPU."""

from __future__ import annotations

import pytest

from engines import build
from engines.accuracy import LIMITS, difference
from engines.choice import TORCH, open_engine
from engines.precision import PRECISIONS, Precision
from tests.engines.test_engines import SHIPPED

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SHIPPED)
def test_cuda_graphs_give_what_onnx_runtime_gives(name: str, precision: Precision) -> None:
    model = SHIPPED[name]()
    engine = open_engine(model, name=name, engine=f"{TORCH}:{precision}")
    place = engine.where()
    assert place.device in build.gpu_name()
    assert place.runtime.endswith("with CUDA graphs")
    assert place.precision == precision or f"in {precision} on {place.device} is refused" in place.reason
    assert difference(model, engine) <= LIMITS[place.precision]  # type: ignore[index]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_gpu_is_chosen_by_itself(name: str) -> None:
    place = open_engine(SHIPPED[name](), name=name).where()
    assert place.device in build.gpu_name(), place.reason
