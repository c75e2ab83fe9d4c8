# The image that a run trains in; what changes least comes first. Built by `make image VARIANT=cpu`
# (runner/image.py chooses base and lock). Nothing secret enters a layer: certificates and pip
# settings are mounted while packages are installed and are gone afterwards.

ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS packages

# Debian's and Ubuntu's names. A base that has them all needs no package mirror. The compiler is
# triton's: it builds its launchers where the kernels run.
ARG PYTHON=3.12
ARG COMPILER=""
RUN for package in ca-certificates python${PYTHON} python${PYTHON}-venv \
      ${COMPILER:+gcc libc6-dev python${PYTHON}-dev}; do \
      dpkg-query --show --showformat '${db:Status-Status}\n' "${package}" 2>/dev/null \
        | grep --quiet --line-regexp installed || missing="${missing} ${package}"; \
    done; \
    [ -z "${missing}" ] || { \
      apt-get update --quiet=2 \
      && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends ${missing} \
      && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log; \
    }

RUN python${PYTHON} -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}

# The locked wheels, by hash. Optional inputs: wheelhouse/ (wheels that no index offers), the secret
# `ca` (certificates of a proxy) and the secret `pip` (a pip.conf, which may hold a password).
ARG LOCK
COPY locks/${LOCK}.lock /opt/trainbox/lock
RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \
    --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca \
    --mount=type=secret,id=pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    pip install --require-hashes --no-deps --only-binary :all: --find-links /wheelhouse \
      --disable-pip-version-check --root-user-action ignore --progress-bar off --no-input \
      --requirement /opt/trainbox/lock

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

# What was installed is what the lock says and what the variant promises, or there is no image.
ARG PROMISE
COPY image/prove.py image/fatbin.py /opt/trainbox/
RUN python /opt/trainbox/prove.py /opt/trainbox/lock "${PROMISE}"

# Our code last: a change of it rebuilds and pushes less than a megabyte.
COPY pyproject.toml README.md LICENSE /opt/trainbox/source/
COPY env_check /opt/trainbox/source/env_check
COPY runner /opt/trainbox/source/runner
RUN pip install --no-deps --no-index --no-build-isolation --no-cache-dir --root-user-action ignore \
      --disable-pip-version-check --quiet /opt/trainbox/source \
    && rm -rf /opt/trainbox/source

# `--user` and `docker run` as root work as well; the entry point knows users without a name.
RUN useradd --uid 10001 --user-group --create-home trainbox
COPY --chmod=755 image/entrypoint /usr/local/bin/trainbox-entrypoint
USER trainbox
WORKDIR /home/trainbox
ENV PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONHASHSEED=0 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The base asks for a driver that its own toolkit is tested with; the wheels start on an older one.
ARG REQUIRE_CUDA=""
ENV NVIDIA_REQUIRE_CUDA=${REQUIRE_CUDA}
ENTRYPOINT ["trainbox-entrypoint"]
CMD ["trainbox", "--help"]
