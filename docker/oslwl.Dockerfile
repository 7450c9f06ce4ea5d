# The one-shot track of the ECCV 2022 Sign Spotting Challenge, for whoever has its data. Never built by its author, who
# had no docker: read it as a recipe, and tell us what is missing.
#
#   docker build -f docker/oslwl.Dockerfile -t signspot-oslwl .
#   mkdir oslwl
#   docker run --rm --network none --user "$(id -u):$(id -g)" \
#       -v /path/to/OSLWL/TEST:/data:ro -v "$PWD/oslwl:/out" signspot-oslwl --encoder slgcn2d --encoder slgcn3d
#
# With --build-arg EXTRAS=[train] the image has PyTorch too, for `signspot engines import`:
#   docker run --rm --entrypoint signspot -v "$PWD:/work" -w /work signspot-oslwl engines import weights.pt ...
FROM python:3.11-slim-bookworm

# What the mediapipe and OpenCV wheels link to and slim images lack.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/signspot
COPY pyproject.toml README.md LICENSE run_stream.py ./
COPY engines engines
COPY stream stream
COPY calibration calibration
ARG EXTRAS=""
RUN pip install --no-cache-dir ".${EXTRAS}"

# Any user may run it, also one without a home: what is compiled or cached goes to /tmp.
ENV NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache
WORKDIR /out
USER nobody
ENTRYPOINT ["signspot", "reproduce", "oslwl", "--data", "/data", "--out", "/out"]
