"""What an image promises: the lock's torch in env_check's tables."""

from __future__ import annotations

import json

import pytest

from env_check.choose import GPU_VARIANTS
from runner.container.image import VARIANTS, image_labels, promise_of
from runner.container.promise import promise_of_versions, provable


@pytest.mark.parametrize("variant", GPU_VARIANTS, ids=lambda variant: variant.name)
def test_promise_is_what_the_choice_of_a_variant_counts_on(variant) -> None:  # type: ignore[no-untyped-def]
    """Locks and env_check name the same torch, CUDA and driver."""
    promise = promise_of(VARIANTS[variant.name])
    assert promise is not None
    assert (promise.torch, promise.cuda, promise.driver) == (
        variant.torch, variant.cuda, variant.driver_floor,
    )  # fmt: skip


def test_labels_say_the_promise() -> None:
    """Driver and compute capabilities can be read before an image is pulled."""
    labels = image_labels(VARIANTS["cu126"])
    assert labels["trainbox.driver"] == "525.60.13"
    assert labels["trainbox.architectures"].split()[0] == "5.0"
    assert "trainbox.cuda" not in image_labels(VARIANTS["cpu"])


def test_a_driver_is_not_to_be_proved_inside_the_image() -> None:
    """The rest is; without CUDA its absence is."""
    assert provable(None) == '{"cuda":null}'
    proved = json.loads(provable(promise_of(VARIANTS["cu130"])))
    assert proved["bitsandbytes_cuda"] == "130" and "driver" not in proved


def test_a_build_that_no_table_knows_promises_nothing() -> None:
    """An unknown torch stops the build instead of promising what nobody has seen."""
    with pytest.raises(LookupError, match=r"9\.9\.9"):
        promise_of_versions({"torch": "9.9.9", "bitsandbytes": "0.50.2"})
