"""How all fuzzing works: few cases in the fast suite, 10,000 a target with --long; valid files, then mutations of them.

A case passes if it gives a right result or an `InputError` of one plain line. Everything else is a failure: another
exception, a message with control characters, memory that grows with what a file declares. Runs are derandomized: the
same cases each time, so a red run can be repeated.
"""

import contextlib
import resource
import warnings

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from pneumo_tfds.program.errors import InputError

FEW, MANY = 200, 10_000
MOST_MEMORY = 1 << 30  # bytes that the process may grow by in one test of small inputs

COMMON = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,  # ours hold nothing that a case changes
    ],
}
settings.register_profile("few", max_examples=FEW, **COMMON)
settings.register_profile("many", max_examples=MANY, **COMMON)
# To look for one bug: --hypothesis-profile probe. It stops at the first failing case, and does not make it smaller.
settings.register_profile("probe", max_examples=5 * FEW, phases=[Phase.explicit, Phase.generate], **COMMON)

SPECIAL = [b"", b"\0", b"\xff", b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0" * 8, b"\xff" * 8]


def pytest_configure(config):
    if config.getoption("--hypothesis-profile", None) is None:
        settings.load_profile("many" if config.getoption("--long") else "few")


@st.composite
def _mutated(draw, originals, most=6):
    """One of some valid files, changed in one to `most` places: bits, bytes, cuts, repeats, pieces of others."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, 1 << 20)) % (len(data) + 1)
        if draw(st.booleans()):  # half of the changes hit the first or the last 64 bytes, where the structure is
            at = at % 64 if draw(st.booleans()) else max(0, len(data) - at % 64)
        span = draw(st.integers(0, 40))
        match draw(st.integers(0, 8)):
            case 0:
                data[at : at + 1] = bytes(byte ^ 1 << span % 8 for byte in data[at : at + 1])
            case 1:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                special = draw(st.sampled_from(SPECIAL))
                data[at : at + len(special)] = special
            case 3:
                data[at:at] = draw(st.binary(max_size=8))
            case 4:
                del data[at : at + span]
            case 5:
                del data[at:]
            case 6:
                data[at:at] = data[at : at + span] * draw(st.integers(1, 3))
            case 7:
                other = draw(st.sampled_from(originals))
                start = draw(st.integers(0, 1 << 20)) % (len(other) + 1)
                data[at : at + span] = other[start : start + span]
            case _:
                data += draw(st.binary(max_size=16))
    return bytes(data)


@pytest.fixture(scope="session")
def mutated():
    """The strategy `mutated(originals, most=6)`: bytes that began as one of `originals`."""
    return _mutated


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 2**63])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\x1b[31m", "a\nb", "../..", "/", "\0", "validation", "test", "NORMAL", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@st.composite
def _changed(draw, original, most=3):
    """A JSON value whose parts are replaced, removed, renamed or added in one to `most` places."""
    value = original
    for _ in range(draw(st.integers(1, most))):
        value = _change(draw, value)
    return value


def _change(draw, value):
    inner = isinstance(value, dict | list) and len(value) > 0 and draw(st.integers(0, 7)) > 0
    if not inner:
        return draw(JSON)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    copy = dict(value) if isinstance(value, dict) else list(value)
    match draw(st.integers(0, 5)):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, dict):
            copy[draw(st.text(max_size=8))] = copy.pop(key)
        case 2 if isinstance(copy, list):
            copy += [copy[key]] * draw(st.integers(1, 3))
        case _:
            copy[key] = _change(draw, copy[key])
    return copy


@pytest.fixture(scope="session")
def changed():
    """The strategy `changed(original, most=3)`: JSON values that began as `original`."""
    return _changed


@contextlib.contextmanager
def _input_error_only(*words):
    try:
        yield
    except InputError as error:
        text = str(error)
        assert text.isprintable()
        assert 5 < len(text) < 3000
        for word in words:
            assert word in text
    except (ValueError, RecursionError) as error:  # an InputError is a ValueError too, so say which it was
        raise AssertionError(f"{type(error).__name__}: {error!s:.300}") from error


@pytest.fixture(scope="session")
def input_error_only():
    """A context in which nothing but an `InputError` of one plain line may be raised, naming the words given."""
    return _input_error_only


@pytest.fixture(autouse=True)
def memory_is_bounded():
    """No test of small inputs makes the process grow by more than `MOST_MEMORY`."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(action="ignore"):  # of the libraries that write our odd files
        yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY
