// The target of a test: https on one port, and on another how often it was asked.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

func main() {
	var requests atomic.Int64
	listen := func() net.Listener {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		return listener
	}
	target, count := listen(), listen()
	big := strings.Repeat("x", 300000) + "Hello World"
	go http.Serve(count, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, requests.Load())
	}))
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.URL.Path == "/big" {
				w.Header().Set("Content-Length", fmt.Sprint(len(big)))
				io.WriteString(w, big)
			} else {
				io.WriteString(w, "Hello World")
			}
		}),
		TLSConfig: &tls.Config{},
	}
	fmt.Println(target.Addr(), count.Addr())
	panic(server.ServeTLS(target, os.Args[1], os.Args[2]))
}
