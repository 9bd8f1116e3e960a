// The tutorial's chat client: asks for the server's address and a name on the console, then sends each line it reads and
// prints each message it receives. Two goroutines share one stream. An empty line is sent like any other.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"chatserver"

	"google.golang.org/grpc"
)

type client struct {
	stream  chatserver.Services_ChatServiceClient
	console *bufio.Reader
	name    string
}

func main() {
	console := bufio.NewReader(os.Stdin)
	fmt.Print("Enter Server IP:Port ::: ")
	address := readLine(console)
	fmt.Print("Your Name : ")
	name := readLine(console)

	connection, err := grpc.Dial(address, grpc.WithInsecure())
	if err != nil {
		log.Fatalf("can't connect to the server: %v", err)
	}
	defer connection.Close()
	stream, err := chatserver.NewServicesClient(connection).ChatService(context.Background())
	if err != nil {
		log.Fatalf("can't call ChatService: %v", err)
	}

	chat := client{stream: stream, console: console, name: name}
	go chat.send()
	go chat.receive()
	select {}
}

func (c *client) send() {
	for {
		message := &chatserver.FromClient{Name: c.name, Body: readLine(c.console)}
		if err := c.stream.Send(message); err != nil {
			log.Printf("error while sending to the server: %v", err)
		}
	}
}

func (c *client) receive() {
	for {
		message, err := c.stream.Recv()
		if err != nil {
			log.Fatalf("error while receiving from the server: %v", err)
		}
		fmt.Printf("%s : %s\n", message.Name, message.Body)
	}
}

func readLine(console *bufio.Reader) string {
	line, err := console.ReadString('\n')
	if err != nil {
		log.Fatalf("failed to read from the console: %v", err)
	}
	return strings.Trim(line, "\r\n")
}
