// A client over TLS with a login: Go's own gRPC, with stubs generated from the proto file.
//
// Usage: tls ADDRESS
//
// Reads requests from standard input and answers them on standard output; tests/it/support/foreign.rs describes both.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"
	"strings"
	"time"

	hubbub "hubbub/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const deadline = time.Minute

type request struct {
	Ask, CA, Token, Room, Sender, Name, Body string
}

type message struct {
	Sender        string `json:"sender"`
	Authenticated bool   `json:"authenticated"`
	Body          string `json:"body,omitempty"`
}

type answer struct {
	Code     uint32    `json:"code"`
	Text     string    `json:"text,omitempty"`
	Messages []message `json:"messages,omitempty"`
	Event    string    `json:"event,omitempty"`
	*message
}

type client struct {
	address string
	chat    hubbub.ChatServiceClient
	stream  hubbub.ChatService_ChatClient
	events  []*hubbub.Event
	cancel  context.CancelFunc
}

func main() {
	c := client{address: os.Args[1], cancel: func() {}}
	requests, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var asked request
		if err := requests.Decode(&asked); err == io.EOF {
			break
		} else if err != nil {
			log.Fatalf("can't read a request: %v", err)
		}
		answered, err := c.do(asked)
		if failed, isStatus := status.FromError(err); !isStatus {
			log.Fatalf("%v: %v", asked.Ask, err)
		} else if err != nil {
			answered = answer{Code: uint32(failed.Code()), Text: failed.Message()}
		}
		if err := answers.Encode(answered); err != nil {
			log.Fatalf("can't answer: %v", err)
		}
	}
	c.cancel()
}

func (c *client) do(asked request) (answer, error) {
	switch asked.Ask {
	case "connect":
		return answer{}, c.connect(asked.CA)
	case "post":
		ctx, cancel := login(asked.Token)
		defer cancel()
		post := &hubbub.PostMessageRequest{Room: asked.Room, Sender: asked.Sender, Body: asked.Body}
		_, err := c.chat.PostMessage(ctx, post)
		return answer{}, err
	case "list":
		return c.list(asked)
	case "open":
		return c.open(asked)
	case "join":
		return c.send(&hubbub.Command{Command: &hubbub.Command_Join{Join: &hubbub.Join{Room: asked.Room}}})
	case "say":
		post := &hubbub.Post{Room: asked.Room, Body: asked.Body}
		return c.send(&hubbub.Command{Command: &hubbub.Command_Post{Post: post}})
	case "hear":
		return c.hear()
	}
	log.Fatalf("unknown request: %v", asked.Ask)
	return answer{}, nil
}

// login begins a call, with the header if there is a token.
func login(tokenFile string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	if tokenFile == "" {
		return ctx, cancel
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		log.Fatalf("can't read the token: %v", err)
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), cancel
}

func (c *client) connect(ca string) error {
	trusted, err := credentials.NewClientTLSFromFile(ca, "")
	if err != nil {
		log.Fatalf("can't read the authority: %v", err)
	}
	connection, err := grpc.Dial(c.address, grpc.WithTransportCredentials(trusted))
	if err != nil {
		return err
	}
	c.chat = hubbub.NewChatServiceClient(connection)
	return nil
}

func (c *client) list(asked request) (answer, error) {
	ctx, cancel := login(asked.Token)
	defer cancel()
	page, err := c.chat.ListMessages(ctx, &hubbub.ListMessagesRequest{Room: asked.Room})
	if err != nil {
		return answer{}, err
	}
	var listed answer
	for _, event := range page.Events {
		listed.Messages = append(listed.Messages, *shown(event.GetMessage()))
	}
	return listed, nil
}

func (c *client) open(asked request) (answer, error) {
	c.cancel()
	var ctx context.Context
	ctx, c.cancel = login(asked.Token)
	stream, err := c.chat.Chat(ctx)
	if err != nil {
		return answer{}, err
	}
	c.stream, c.events = stream, nil
	return c.send(&hubbub.Command{Command: &hubbub.Command_Hello{Hello: &hubbub.Hello{Name: asked.Name}}})
}

func (c *client) send(command *hubbub.Command) (answer, error) {
	// After the server has ended the stream, the receiving side has the status.
	if err := c.stream.Send(&hubbub.ChatRequest{Commands: []*hubbub.Command{command}}); err != nil && err != io.EOF {
		return answer{}, err
	}
	return c.hear()
}

func (c *client) hear() (answer, error) {
	for {
		for len(c.events) > 0 {
			event := c.events[0]
			c.events = c.events[1:]
			switch kind := event.Event.(type) {
			case *hubbub.Event_Joined, *hubbub.Event_Presence:
			case *hubbub.Event_Welcome:
				name := message{Sender: kind.Welcome.Name, Authenticated: kind.Welcome.Authenticated}
				return answer{Event: "welcome", message: &name}, nil
			case *hubbub.Event_Message:
				return answer{Event: "message", message: shown(kind.Message)}, nil
			case *hubbub.Event_CaughtUp:
				return answer{Event: "caught_up"}, nil
			case *hubbub.Event_Rejected:
				return answer{Event: "rejected"}, nil
			default:
				log.Fatalf("unexpected: %v", event)
			}
		}
		response, err := c.stream.Recv()
		if err == io.EOF {
			return answer{Event: "end"}, nil
		} else if err != nil {
			return answer{}, err
		}
		c.events = response.Events
	}
}

func shown(received *hubbub.Message) *message {
	return &message{Sender: received.Sender, Authenticated: received.Authenticated, Body: received.Body}
}
