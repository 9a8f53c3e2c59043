# Two images of one static program, both without root, a shell or a system below.
# "sonde" has no rights at all; "raw" may open raw sockets when the container is
# given NET_RAW: a user who is not root gets a capability only by the file, and
# a file that carries one does not start in a container without it.
#
#	docker build --target sonde -t sonde .
#	docker build --target raw -t sonde-raw .
FROM golang:1.26-bookworm AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libcap2-bin
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${VERSION:+-X main.version=$VERSION}" -o /out/sonde ./cmd/sonde \
	&& cp /out/sonde /out/sonde-raw \
	&& setcap cap_net_raw+ep /out/sonde-raw \
	&& mkdir -p /out/state /out/spool

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/state /var/lib/sonde
COPY --from=build --chown=65532:65532 /out/spool /var/spool/sms
ENV SONDE_STATE=/var/lib/sonde
USER 65532:65532
WORKDIR /var/lib/sonde
ENTRYPOINT ["/usr/bin/sonde"]

FROM base AS raw
COPY --from=build /out/sonde-raw /usr/bin/sonde

FROM base AS sonde
COPY --from=build /out/sonde /usr/bin/sonde
