// Opens many watches over TLS, publishes events that carry the time they were sent at, and reports how late each
// watcher got each event. Prints one line of JSON: deliveries, and the median and 99th percentile lag in milliseconds.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

var mark = []byte(`"sent":"`)

// follow reads events until `want` with a mark have come, and hands over their lags.
func follow(client *http.Client, url, token string, want int, open *sync.WaitGroup, lags chan<- []int64) {
	request, _ := http.NewRequest("GET", url, nil)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil || response.StatusCode != 200 {
		fmt.Fprintln(os.Stderr, "watch failed:", err, response)
		os.Exit(1)
	}
	open.Done()
	found := make([]int64, 0, want)
	reader := bufio.NewReaderSize(response.Body, 16384)
	for len(found) < want {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			break
		}
		at := bytes.Index(line, mark)
		if at < 0 {
			continue
		}
		digits := line[at+len(mark):]
		sent, _ := strconv.ParseInt(string(digits[:bytes.IndexByte(digits, '"')]), 10, 64)
		found = append(found, time.Now().UnixNano()-sent)
	}
	response.Body.Close()
	lags <- found
}

func main() {
	watch := flag.String("watch", "", "URL to watch")
	publish := flag.String("publish", "", "URL to POST events to")
	token := flag.String("token", "", "bearer token")
	watchers := flag.Int("watchers", 1000, "how many watch")
	events := flag.Int("events", 100, "how many events are sent")
	rate := flag.Float64("rate", 5, "events a second")
	size := flag.Int("size", 4096, "bytes of an event")
	flag.Parse()

	settings := &tls.Config{InsecureSkipVerify: true}
	lags := make(chan []int64, *watchers)
	var open sync.WaitGroup
	gate := make(chan struct{}, 32)
	for i := 0; i < *watchers; i++ {
		open.Add(1)
		gate <- struct{}{}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: settings, ReadBufferSize: 16384}}
		go follow(client, *watch, *token, *events, &open, lags)
		go func() { time.Sleep(20 * time.Millisecond); <-gate }()
	}
	open.Wait()
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadString('\n')

	poster := &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	filler := strings.Repeat("x", *size-300)
	began := time.Now()
	for i := 0; i < *events; i++ {
		due := began.Add(time.Duration(float64(i) / *rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		body := fmt.Sprintf(`{"metadata":{"generateName":"w-"},"data":{"filler":"%s","sent":"%d"}}`, filler, time.Now().UnixNano())
		request, _ := http.NewRequest("POST", *publish, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+*token)
		request.Header.Set("Content-Type", "application/json")
		response, err := poster.Do(request)
		if err != nil || response.StatusCode != 201 {
			fmt.Fprintln(os.Stderr, "publish failed:", err, response)
			os.Exit(1)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	all := make([]int64, 0, *watchers**events)
	for i := 0; i < *watchers; i++ {
		all = append(all, <-lags...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(share float64) float64 { return float64(all[int(share*float64(len(all)-1))]) / 1e6 }
	json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"deliveries": float64(len(all)), "median": at(0.5), "p99": at(0.99), "seconds": time.Since(began).Seconds(),
	})
}
