// A server of Go's net/http over HTTP/2 without TLS. It prints "ready PORT"; for each line on its
// standard input it prints how many requests its handler has seen and how many bytes of bodies.
// Queries ask for odd answers: delay (ms), status, size (bytes), hints, trailer.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var requests, received atomic.Int64

func number(r *http.Request, name string) int {
	value, _ := strconv.Atoi(r.URL.Query().Get(name))
	return value
}

func handle(w http.ResponseWriter, r *http.Request) {
	requests.Add(1)
	length, _ := io.Copy(io.Discard, r.Body)
	received.Add(length)
	if r.URL.Query().Has("hints") {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
	}
	time.Sleep(time.Duration(number(r, "delay")) * time.Millisecond)
	if r.URL.Query().Has("trailer") {
		w.Header().Set("Trailer", "X-Grade")
		defer w.Header().Set("X-Grade", "a")
	}
	if status := number(r, "status"); status != 0 {
		w.WriteHeader(status)
	}
	if r.URL.Query().Has("abort") {
		panic(http.ErrAbortHandler)
	}
	piece := make([]byte, 32*1024)
	for left := number(r, "size"); left > 0; left -= len(piece) {
		w.Write(piece[:min(left, len(piece))])
	}
}

func main() {
	streams, _ := strconv.Atoi(os.Args[1])
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:   http.HandlerFunc(handle),
		Protocols: protocols,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: streams},
	}
	go func() { log.Fatal(server.Serve(listener)) }()
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(requests.Load(), received.Load())
	}
}
