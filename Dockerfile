# Two images: `web` without torch (web server, scheduler, migrations), `worker` with it.
#   docker build --target web .      docker build --target worker .

FROM node:24-slim AS static
WORKDIR /static
COPY static/package.json static/package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    IPATH_HOME=/var/lib/ipath IPATH_HOST=0.0.0.0 HF_HOME=/var/lib/ipath/models
RUN pip install --no-cache-dir uv \
    && useradd --system --create-home --uid 10001 ipath \
    && install -d -o ipath -g ipath -m 0700 /var/lib/ipath
WORKDIR /srv/ipath
COPY pyproject.toml requirements.lock README.md ./

FROM base AS web
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --require-hashes -c requirements.lock -r pyproject.toml
COPY . .
COPY --from=static /static/node_modules static/node_modules
RUN uv pip install --system --no-deps -e .
USER ipath
VOLUME /var/lib/ipath
EXPOSE 8000
CMD ["ipath", "web"]

FROM base AS worker
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --require-hashes -c requirements.lock -r pyproject.toml --extra worker
COPY . .
RUN uv pip install --system --no-deps -e .
USER ipath
VOLUME /var/lib/ipath
CMD ["ipath", "worker"]
