package servertest

import (
	"net"
	"net/http"
	"testing"
)

// Process is a server that can die and come back at the same address.
type Process struct {
	URL     string
	tb      testing.TB
	handler http.Handler
	addr    string
	server  *http.Server
}

// Start serves handler at a free port of the loopback interface until the test ends.
func Start(tb testing.TB, handler http.Handler) *Process {
	p := &Process{tb: tb, handler: handler, addr: "127.0.0.1:0"}
	p.ComeBack()
	p.URL = "http://" + p.addr
	tb.Cleanup(p.Die)
	return p
}

// Die closes the port and every connection, whatever is going on in it.
func (p *Process) Die() { _ = p.server.Close() }

// ComeBack serves again where it did before.
func (p *Process) ComeBack() {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.tb.Error(err)
		return
	}
	p.addr = l.Addr().String()
	p.server = &http.Server{Handler: p.handler}
	go func(s *http.Server) { _ = s.Serve(l) }(p.server)
}
