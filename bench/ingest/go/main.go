// The article's HTTP handler in its three stages, written anew from its design: the peer that ran on Go.
//
//	go run ./bench/ingest/go -attempt 3 -workers 100 -queue 100 -upload 50ms
//
// Attempt 1 starts a goroutine per payload. Attempt 2 puts payloads into one buffered channel that one processor empties.
// Attempt 3 is the two-tier dispatcher: a channel of jobs, and a channel of the idle workers' own channels. As in the
// article, it starts a goroutine for every job that waits for a worker, so the queue bounds nothing.
//
// All of them answer 200 at once and hold payloads in memory only. An upload sleeps for -upload; with 0 it does nothing.
// GET /stats tells how many payloads were answered 200 and how many of them were uploaded: a kill loses the difference.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
)

const maxLength = 1 << 20

var (
	attempt  = flag.Int("attempt", 3, "1, 2 or 3")
	workers  = flag.Int("workers", 100, "workers of attempt 3")
	capacity = flag.Int("queue", 100, "capacity of the channel in attempts 2 and 3")
	upload   = flag.Duration("upload", 0, "how long an upload takes")

	accepted, uploaded atomic.Int64
)

type collection struct {
	Version  string    `json:"version"`
	Token    string    `json:"token"`
	Payloads []payload `json:"data"`
}

type payload struct {
	N     int64  `json:"n"`
	Event string `json:"event"`
	User  string `json:"user"`
	At    string `json:"at"`
	Path  string `json:"path"`
}

func (p payload) send() {
	if *upload > 0 {
		time.Sleep(*upload)
	}
	uploaded.Add(1)
}

// A worker lends its own channel to the pool whenever it is idle.
type worker struct {
	pool chan<- chan payload
	jobs chan payload
}

func (w worker) run() {
	for {
		w.pool <- w.jobs
		job := <-w.jobs
		job.send()
	}
}

func dispatch(queue <-chan payload, pool <-chan chan payload) {
	for job := range queue {
		go func(job payload) {
			idle := <-pool
			idle <- job
		}(job)
	}
}

// enqueue returns what the handler does with each payload.
func enqueue() func(payload) {
	if *attempt == 1 {
		return func(p payload) { go p.send() }
	}
	queue := make(chan payload, *capacity)
	if *attempt == 2 {
		go func() {
			for p := range queue {
				p.send()
			}
		}()
	} else {
		pool := make(chan chan payload, *workers)
		for i := 0; i < *workers; i++ {
			go worker{pool, make(chan payload)}.run()
		}
		go dispatch(queue, pool)
	}
	return func(p payload) { queue <- p }
}

func main() {
	flag.Parse()
	push := enqueue()
	http.HandleFunc("/payloads", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		var content collection
		if err := json.NewDecoder(io.LimitReader(r.Body, maxLength)).Decode(&content); err != nil {
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, p := range content.Payloads {
			push(p)
		}
		accepted.Add(int64(len(content.Payloads)))
		w.WriteHeader(http.StatusOK)
	})
	http.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"accepted":%d,"uploaded":%d,"tasks":%d}`, accepted.Load(), uploaded.Load(), runtime.NumGoroutine())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
