"""Signatures by key: the right one passes, and each wrong one is refused with its own reason."""

import importlib.util

import pytest

from export.inference.signature import SignatureOption, require_signature
from export.predict import Predict, predict
from export.serve.__main__ import Serve, serve
from export.watch import Watch, watch
from pneumo_tfds.program.errors import InputError

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None or importlib.util.find_spec("OpenSSL") is None,
    reason="needs the extra sign",
)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"any file can be signed")
    return path


def keys(folder, name):
    """Write a new pair of keys; give the paths of the private and the public one."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def public(model):
    """The public key of who signed the model."""
    from model_signing import signing

    private, found = keys(model.parent, "mine")
    signing.Config().use_elliptic_key_signer(private_key=private).sign(model, model.with_name("model.onnx.sig"))
    return found


@needs_extra
def test_the_right_signature_passes_under_another_name_too(model, public):
    require_signature(model, public)
    model.with_name("model.onnx.sig").rename(model.with_name("other.onnx.sig"))
    require_signature(model.rename(model.with_name("other.onnx")), public)


@needs_extra
def test_of_a_run_folder_the_signature_of_its_model_is_checked(model, public):
    SignatureOption(require_signature=public).check_signature(model.parent)
    model.write_bytes(b"another file")
    with pytest.raises(InputError, match=r"model\.onnx has no right signature .*changed after it was signed"):
        SignatureOption(require_signature=public).check_signature(model.parent)


@needs_extra
def test_wrong_signatures_are_refused_with_their_reason(model, public, tmp_path):
    with pytest.raises(InputError, match="another key signed it"):
        require_signature(model, keys(tmp_path, "other")[1])
    with pytest.raises(InputError, match="not a public key on an elliptic curve"):
        require_signature(model, tmp_path / "mine.pem")
    signature = model.with_name("model.onnx.sig")
    right = signature.read_text()
    for damaged in ("{}", "[]", "hello", right.replace('"signatures":', '"unsigned":')):
        signature.write_text(damaged)
        with pytest.raises(InputError, match=r"model\.onnx\.sig is damaged"):
            require_signature(model, public)
    signature.write_text(right)
    model.write_bytes(b"another file")
    with pytest.raises(InputError, match="changed after it was signed"):
        require_signature(model, public)


@pytest.mark.parametrize("missing", ["model.onnx", "model.onnx.sig", "key.pub.pem"])
def test_what_is_missing_is_named(model, missing):
    key = model.with_name("key.pub.pem")
    for path in (model, model.with_name("model.onnx.sig"), key):
        path.write_text("")
    model.with_name(missing).unlink()
    with pytest.raises(InputError, match=f"{missing} is not a file"):
        require_signature(model, key)


@pytest.mark.parametrize("command", ["predict", "serve", "watch"])
def test_no_model_is_opened_without_the_signature_that_is_required(command, model, tmp_path):
    key = model.with_name("key.pub.pem")
    key.write_text("")
    start = {
        "predict": lambda: predict(Predict(model=model, images=("x.png",), require_signature=key)),
        "serve": lambda: serve(Serve(models=(str(model),), require_signature=key)),
        "watch": lambda: watch(
            Watch(model=model, source=str(tmp_path), out=str(tmp_path), journal=tmp_path / "j", require_signature=key)
        ),
    }[command]
    for module in {"serve": ["python_multipart", "uvicorn"], "watch": ["highdicom"]}.get(command, []):
        pytest.importorskip(module)
    with pytest.raises(InputError, match=r"model\.onnx\.sig is not a file"):
        start()
    if importlib.util.find_spec("model_signing") and importlib.util.find_spec("OpenSSL"):
        from model_signing import signing

        signing.Config().use_elliptic_key_signer(private_key=keys(tmp_path, "mine")[0]).sign(
            model, model.with_name("model.onnx.sig")
        )
        key.write_bytes(keys(tmp_path, "other")[1].read_bytes())
        with pytest.raises(InputError, match="another key signed it"):
            start()
    assert not (tmp_path / "j").exists()
