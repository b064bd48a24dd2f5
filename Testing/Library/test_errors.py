import pytest

from SynthFoundationLib.errors import MemoryShortage, memory_shortage


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (RuntimeError("DefaultCPUAllocator: tried to allocate 8589934592 bytes."), "8.59"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …"), "0.02"),
        (MemoryError("Unable to allocate 32.0 GiB for an array with shape (4294967296,)"), "34.36"),
        (RuntimeError("itkImportImageContainer.hxx:179:\nFailed to allocate memory for image."), ""),
        (MemoryError(), ""),
        (MemoryShortage("there is not enough memory"), ""),
    ],
)  # fmt: skip
def test_every_way_of_running_out_of_memory_is_one_error_that_says_the_amount(error, amount):
    found = memory_shortage(error)
    assert isinstance(found, MemoryShortage)
    assert amount in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("bad_alloc"), KeyError("x")])
def test_other_errors_are_no_shortage_of_memory(error):
    assert memory_shortage(error) is None
