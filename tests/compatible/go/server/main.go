// The tutorial's chat server: one broadcast stream. Each client has a goroutine that receives and one that sends; between
// them is a queue of messages, guarded by a mutex, which the sending goroutine looks at again and again.
package main

import (
	"log"
	"math/rand"
	"net"
	"os"
	"sync"
	"time"

	"chatserver"

	"google.golang.org/grpc"
)

const pollInterval = time.Millisecond

type message struct {
	name   string
	body   string
	sender int
}

// Every client's queue, by its unique code.
type queues struct {
	mutex   sync.Mutex
	waiting map[int][]message
}

type server struct {
	clients queues
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "5000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatalf("can't listen on port %v: %v", port, err)
	}
	log.Printf("listening on %v", listener.Addr())
	services := grpc.NewServer()
	chatserver.RegisterServicesServer(services, &server{clients: queues{waiting: make(map[int][]message)}})
	if err := services.Serve(listener); err != nil {
		log.Fatalf("can't serve: %v", err)
	}
}

// ChatService is one client's conversation. It lasts until one of its goroutines fails.
func (s *server) ChatService(stream chatserver.Services_ChatServiceServer) error {
	code := s.clients.enter()
	defer s.clients.leave(code)
	failed := make(chan error, 2)
	go s.receive(stream, code, failed)
	go s.send(stream, code, failed)
	return <-failed
}

func (s *server) receive(stream chatserver.Services_ChatServiceServer, code int, failed chan<- error) {
	for {
		received, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		s.clients.broadcast(message{name: received.Name, body: received.Body, sender: code})
	}
}

func (s *server) send(stream chatserver.Services_ChatServiceServer, code int, failed chan<- error) {
	for stream.Context().Err() == nil {
		for _, next := range s.clients.take(code) {
			if err := stream.Send(&chatserver.FromServer{Name: next.name, Body: next.body}); err != nil {
				failed <- err
				return
			}
		}
		time.Sleep(pollInterval)
	}
}

func (q *queues) enter() int {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for {
		code := rand.Intn(1e6)
		if _, taken := q.waiting[code]; !taken {
			q.waiting[code] = nil
			return code
		}
	}
}

func (q *queues) leave(code int) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	delete(q.waiting, code)
}

func (q *queues) broadcast(said message) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for code := range q.waiting {
		if code != said.sender {
			q.waiting[code] = append(q.waiting[code], said)
		}
	}
}

func (q *queues) take(code int) []message {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	// One that has left must not come back.
	waiting := q.waiting[code]
	if len(waiting) > 0 {
		q.waiting[code] = nil
	}
	return waiting
}
