# The image that a run trains in; what changes least comes first. Built by `make image VARIANT=cpu`
# (runner/container/image.py chooses base and lock). Nothing secret enters a layer: certificates and
# pip settings are mounted while packages are installed and are gone afterwards.

ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS packages

# The time of every file, for tools that keep to it, so that two builds are the same bytes
# (docs/reproducible.md). No commit's time: a layer that did not change keeps its digest.
ARG SOURCE_DATE_EPOCH=1767225600

# Debian's and Ubuntu's names. A base that has them all needs no package mirror. The compiler is
# triton's: it builds its launchers where the kernels run.
ARG PYTHON=3.12
ARG COMPILER=""
ARG SNAPSHOT=""
RUN --mount=type=bind,source=image/system-packages,target=/system-packages \
    sh /system-packages ca-certificates python${PYTHON} python${PYTHON}-venv \
      ${COMPILER:+gcc libc6-dev python${PYTHON}-dev}

RUN python${PYTHON} -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}

# The locked wheels, by hash. Optional inputs: wheelhouse/ (wheels that no index offers), the secret
# `ca` (certificates of a proxy) and the secret `pip` (a pip.conf, which may hold a password).
ARG LOCK
COPY locks/${LOCK}.lock /opt/trainbox/lock
RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \
    --mount=type=bind,source=image/settle.py,target=/settle.py \
    --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    pip install --require-hashes --no-deps --only-binary :all: --find-links /wheelhouse \
      --disable-pip-version-check --root-user-action ignore --progress-bar off --no-input \
      --no-compile --requirement /opt/trainbox/lock \
    && python -B /settle.py /opt/venv/lib/python${PYTHON}/site-packages

# The MLflow server of compose.yaml, which says how it is started: LOCK=mlflow, --target mlflow. An
# empty volume takes over the owner of /data.
FROM packages AS mlflow
RUN pip check --disable-pip-version-check \
    && useradd --uid 10001 --user-group --no-create-home mlflow \
    && install --directory --owner=mlflow --group=mlflow --mode=700 /data
USER mlflow
WORKDIR /data
ENV HOME=/tmp PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
CMD ["mlflow", "server", "--help"]

FROM packages
ARG SOURCE_DATE_EPOCH=1767225600

# What was installed is what the lock says and what the variant promises, or there is no image.
ARG PROMISE
COPY image/prove.py image/fatbin.py /opt/trainbox/
RUN python -B /opt/trainbox/prove.py /opt/trainbox/lock "${PROMISE}"

# For the record of a run that is started inside: the lock, as set-up writes it into an environment.
ARG LOCK
RUN digest=$(sha256sum </opt/trainbox/lock) \
    && printf '{"lock": "%s", "digests": {"%s": "%s"}}\n' "${LOCK}" "${LOCK}" "${digest%% *}" \
      >/opt/venv/trainbox.json

# `--user` and `docker run` as root work as well. An empty volume takes over the mode of /workspace,
# and a shell of ssh finds our commands without our PATH.
RUN useradd --uid 10001 --user-group --create-home --no-log-init trainbox \
    && install --directory --mode=1777 /workspace \
    && ln -s /opt/venv/bin/trainbox /opt/venv/bin/env-check /usr/local/bin/

# Our code last: a change of it rebuilds and pushes less than a megabyte.
COPY --chmod=755 image/entrypoint /usr/local/bin/trainbox-entrypoint
COPY image/start-sshd image/about.py /opt/trainbox/
COPY pyproject.toml README.md LICENSE /opt/trainbox/source/
COPY env_check /opt/trainbox/source/env_check
COPY runner /opt/trainbox/source/runner
RUN --mount=type=bind,source=image/settle.py,target=/settle.py \
    pip install --no-deps --no-index --no-build-isolation --no-cache-dir --root-user-action ignore \
      --disable-pip-version-check --no-compile --quiet /opt/trainbox/source \
    && rm -rf /opt/trainbox/source \
    && cd /opt/venv/lib/python*/site-packages && python -B /settle.py runner env_check

USER trainbox
WORKDIR /workspace
ARG VARIANT
ENV PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONHASHSEED=0 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility TRAINBOX_VARIANT=${VARIANT}
# The base asks for a driver that its own toolkit is tested with; the wheels start on an older one.
ARG REQUIRE_CUDA=""
ENV NVIDIA_REQUIRE_CUDA=${REQUIRE_CUDA}
ENTRYPOINT ["trainbox-entrypoint"]
CMD ["python", "/opt/trainbox/about.py"]
