// A buffered Go channel of 8-byte items, for bench_queue.
//
//	channel PRODUCERS CONSUMERS BOUND ITEMS
//
// Prints how many items went through and in how many seconds.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil || n < 1 {
		fmt.Fprintln(os.Stderr, "usage: channel PRODUCERS CONSUMERS BOUND ITEMS")
		os.Exit(2)
	}
	return n
}

func main() {
	if len(os.Args) != 5 {
		os.Args = make([]string, 5)
	}
	producers, consumers, bound := number(1), number(2), number(3)
	each := number(4) / producers
	channel := make(chan uint64, bound)
	sums := make(chan uint64, consumers)
	var putting sync.WaitGroup

	began := time.Now()
	for p := 0; p < producers; p++ {
		putting.Add(1)
		go func() {
			for i := 1; i <= each; i++ {
				channel <- uint64(i)
			}
			putting.Done()
		}()
	}
	for c := 0; c < consumers; c++ {
		go func() {
			var sum uint64
			for item := range channel {
				sum += item
			}
			sums <- sum
		}()
	}
	putting.Wait()
	close(channel)
	var sum uint64
	for c := 0; c < consumers; c++ {
		sum += <-sums
	}
	seconds := time.Since(began).Seconds()
	if sum != uint64(producers)*uint64(each)*uint64(each+1)/2 {
		fmt.Fprintln(os.Stderr, "channel: lost or doubled")
		os.Exit(1)
	}
	fmt.Println(producers*each, seconds)
}
