# syntax=docker/dockerfile:1
# One static binary for both services, in an image that holds nothing else: no shell,
# no package manager, no root. See compose.yaml for how the services are put together.

FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV GOCACHE=/go/cache
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    CGO_ENABLED=0 go build -trimpath -o /out/intuno ./cmd/intuno
# Where SQLite files go when no PostgreSQL is configured; scratch cannot make folders.
RUN mkdir /out/data

FROM scratch
# For https to model providers and agents. The base image of the build stage has it.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /data
COPY LICENSE NOTICE /
COPY --from=build /out/intuno /intuno

# Not root, and no user name: scratch has no /etc/passwd.
USER 65532:65532
ENV DATA_DIR=/data
# 8000 is wisdom, 8001 wisdom-agents. The ops listener (9090, 9091) stays on loopback
# inside the container.
EXPOSE 8000 8001

# There is no HEALTHCHECK here, because the two services share the image and listen on
# different addresses. `/intuno doctor --ready` is the probe, and needs no shell:
# compose.yaml uses it.
ENTRYPOINT ["/intuno"]
CMD ["help"]
