"""The processor, from what Linux writes about it."""

import platform

import pytest

from pneumo_tfds.program import processor

ZEN3 = "processor : 0\nmodel name\t: AMD Ryzen 7 5800X\nflags\t\t: fpu sse avx avx2\n"
SAPPHIRE = "model name\t: Intel Xeon\nflags\t: avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile\n"
GRAVITON3 = "processor : 0\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.fixture
def linux(monkeypatch, tmp_path):
    def write(text, machine):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(processor, "INFORMATION", tmp_path / "cpuinfo")
        monkeypatch.setattr(platform, "machine", lambda: machine)

    return write


@pytest.mark.parametrize(
    ("text", "machine", "name", "there", "missing"),
    [
        (ZEN3, "x86_64", "AMD Ryzen 7 5800X", ["AVX2"], ["AVX-512", "VNNI", "bfloat16", "AMX"]),
        (SAPPHIRE, "x86_64", "Intel Xeon", ["AVX2", "AVX-512", "VNNI", "bfloat16", "AMX"], []),
        (GRAVITON3, "aarch64", "aarch64, implementer 0x41, part 0xd40", ["bfloat16", "ASIMD", "SVE"], ["i8mm"]),
    ],
)
def test_name_and_instruction_sets_of_its_kind(text, machine, name, there, missing, linux):
    linux(text, machine)
    assert processor.name() == name
    assert processor.instruction_sets() == dict.fromkeys(there, True) | dict.fromkeys(missing, False)


def test_other_systems_do_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "INFORMATION", tmp_path / "none")
    assert processor.instruction_sets() is None
    assert processor.name()
