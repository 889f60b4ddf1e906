# An image with the command line, and kernels that are compiled in it.
#
#     docker build --tag autospace .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" autospace evolve --preset demo --seed 0 --out runs/demo
#
# With CUDA, from the torch of PyPI, which brings its CUDA libraries; the host has the driver:
#
#     docker build --tag autospace:cuda --build-arg TORCH_FROM= .
#     docker run --rm --gpus all autospace:cuda doctor
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/autospace
ENV PATH="/opt/autospace/bin:$PATH"
WORKDIR /source
# Torch first, and alone: it is nearly all of the download, and changes seldom.
COPY constraints.txt ./
ARG TORCH_FROM="--index-url https://download.pytorch.org/whl/cpu"
RUN pip install "$(grep '^torch==' constraints.txt)" $TORCH_FROM
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY autospace autospace
COPY cli cli
COPY spaces spaces
ARG EXTRAS=onnx,plots
RUN pip install --constraint constraints.txt ".[$EXTRAS]"

FROM python:${PYTHON}-slim
COPY --from=build /opt/autospace /opt/autospace
ENV PATH="/opt/autospace/bin:$PATH" PYTHONUNBUFFERED=1
RUN useradd --create-home autospace && mkdir /work && chown autospace /work
USER autospace
WORKDIR /work
# A build whose kernels are missing, or whose network cannot be built, fails here.
RUN autospace doctor | grep '^kernels *compiled' && autospace show mbconv@digits > /dev/null
ENTRYPOINT ["autospace"]
CMD ["--help"]
