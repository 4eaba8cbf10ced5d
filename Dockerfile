# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/mergebot ./cmd/mergebot

# The inference library is fetched by npm and checked against the digest pinned in the program.
FROM node:22-bookworm-slim AS engine
COPY --from=build /out/mergebot /usr/local/bin/mergebot
RUN XDG_CACHE_HOME=/opt mergebot engine install

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 mergebot \
    && install -d -o mergebot -g mergebot /var/lib/mergebot
COPY --from=build /out/mergebot /usr/local/bin/mergebot
COPY --from=engine /opt/mergebot/engine /opt/mergebot/engine
ENV MERGEBOT_ENGINE_DIR=/opt/mergebot/engine
USER mergebot
WORKDIR /home/mergebot
# mergebot serve: the page and webhooks, with MERGEBOT_SERVE_ADDR=0.0.0.0:8390; see docs/bot.md.
EXPOSE 8390
VOLUME /var/lib/mergebot
ENTRYPOINT ["mergebot"]
CMD ["--help"]
