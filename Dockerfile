# The HTTP service (docs/how-to/predict-and-serve.md), without TensorFlow and without a compiler:
#   docker build --tag pneumo .
#   docker run --rm --read-only --publish 127.0.0.1:8000:8000 --volume "$PWD/runs/first:/models:ro" pneumo
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY requirements/serve.txt requirements/serve.txt
COPY pneumo_tfds pneumo_tfds
COPY pipeline pipeline
COPY tuning tuning
COPY export export
COPY benchmarks benchmarks
# Left out: tests of the libraries, what nothing here imports, copies of GDCM's libraries that should be links.
# Bytecode is made for what is imported, as a read-only container cannot make it.
RUN python -m venv --without-pip /venv \
    && export PIP_PYTHON=/venv/bin/python \
    && pip install --no-cache-dir --no-compile --require-hashes --requirement requirements/serve.txt \
    && pip install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools \
    && find /venv -type d \( -name tests -o -path "*/onnxruntime/transformers" \) -prune -exec rm -r {} + \
    && find /venv -path "*/_gdcm/lib*" \( -name "*.so" -o -name "*.so.*.*.*" \) -delete \
    && /venv/bin/python -P -c "import export.serve.service, gdcm, pydicom, uvicorn"

FROM python:3.11-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=20s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=9)"]
ENTRYPOINT ["python", "-m", "export.serve", "--host", "0.0.0.0"]
CMD ["/models/model.onnx"]
