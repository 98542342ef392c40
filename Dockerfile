# ecg-alq with everything: training, hardware with open tools, notebooks.
#   docker build -t ecg-alq . && docker run --rm -it -p 8888:8888 -v "$PWD/build:/work/build" ecg-alq classify --sample
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends g++ git make \
    gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home ecg && mkdir /work && chown ecg /work
USER ecg
WORKDIR /work
COPY --chown=ecg requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir -q --upgrade 'pip>=25' \
    && .venv/bin/pip install --no-cache-dir -q --require-hashes -r requirements.lock
COPY --chown=ecg . .
RUN .venv/bin/pip install --no-cache-dir -q --no-deps --no-build-isolation -e . && touch .venv/.installed
ENV PATH="/work/.venv/bin:$PATH"
ENTRYPOINT ["ecg-alq"]
CMD ["--help"]
