//! A peer for the benchmarks: the tutorial's contract on tonic and tokio, as one would write it there for speed.
//!
//! Each client has a bounded channel; a message is encoded once and its reference-counted bytes go into the channel
//! of every other client. tonic then joins whatever waits in a channel into few HTTP/2 frames. All clients see one
//! order, as the contract asks, because a message enters all channels under one lock. Nothing is stored.

mod codec;

use std::convert::Infallible;
use std::env;
use std::future::{Ready, ready};
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use crate::codec::{ChatCodec, FromClient, FromServer};

/// Messages that may wait for one client. When its channel is full, publishers wait for it.
const CLIENT_QUEUE_MAX: usize = 65_536;
/// Bytes that a sender may have on the way to us, per stream and per connection.
const WINDOW_BYTES: u32 = 1 << 20;
const CHAT_PATH: &str = "/chatserver.Services/ChatService";

/// Who is here, in the order of arrival.
#[derive(Default)]
struct Clients {
    next_id: u64,
    queues: Vec<(u64, Sender<Bytes>)>,
}

/// The chat: one room, shared by all streams.
#[derive(Clone, Default)]
struct Chat {
    clients: Arc<Mutex<Clients>>,
}

impl Chat {
    fn lock(&self) -> MutexGuard<'_, Clients> {
        // No code under this lock panics.
        self.clients.lock().expect("the lock is not poisoned")
    }

    fn join(&self) -> (u64, Receiver<Bytes>) {
        let (sender, receiver) = channel(CLIENT_QUEUE_MAX);
        let mut clients = self.lock();
        clients.next_id += 1;
        let id = clients.next_id;
        clients.queues.push((id, sender));
        (id, receiver)
    }

    fn leave(&self, id: u64) {
        self.lock().queues.retain(|(other, _)| *other != id);
    }

    /// Hands a message to everybody but `from`, after waiting until each of them has room for it.
    async fn publish(&self, from: u64, message: Bytes) {
        while let Some(full) = self.try_publish(from, &message) {
            // It fails only if that client has left: then nobody waits for it any more.
            let _ = full.reserve().await;
        }
    }

    /// Hands the message over, or does nothing and returns a queue that is full.
    fn try_publish(&self, from: u64, message: &Bytes) -> Option<Sender<Bytes>> {
        let clients = self.lock();
        let others = || clients.queues.iter().filter(|(id, _)| *id != from);
        // Only publishers fill the queues, and only under the lock: room that is here now stays.
        if let Some((_, full)) = others().find(|(_, queue)| queue.capacity() == 0) {
            return Some(full.clone());
        }
        for (_, queue) in others() {
            // It fails only if that client is leaving.
            let _ = queue.try_send(message.clone());
        }
        None
    }
}

/// What one client receives. The client is in the room for as long as this lives.
struct Membership {
    chat: Chat,
    id: u64,
    receiver: Receiver<Bytes>,
}

impl Stream for Membership {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|next| next.map(Ok))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.chat.leave(self.id);
    }
}

impl Service<Request<Streaming<FromClient>>> for Chat {
    type Response = Response<Membership>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<FromClient>>) -> Self::Future {
        let (id, receiver) = self.join();
        let mut incoming = request.into_inner();
        let chat = self.clone();
        // It ends when the client half-closes or its stream breaks.
        tokio::spawn(async move {
            while let Some(Ok(FromClient { name, body })) = incoming.next().await {
                let message = FromServer { name, body }.encode_to_vec();
                chat.publish(id, message.into()).await;
            }
        });
        ready(Ok(Response::new(Membership { chat: self.clone(), id, receiver })))
    }
}

impl Service<http::Request<Body>> for Chat {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let chat = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                CHAT_PATH => Grpc::new(ChatCodec).streaming(chat, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl NamedService for Chat {
    const NAME: &'static str = "chatserver.Services";
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let listen: SocketAddr = match args.as_slice() {
        [flag, address] if flag == "--listen" => address.parse()?,
        _ => return Err("usage: hubbub-peer-tonic --listen 127.0.0.1:0".into()),
    };
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    stdout().flush()?;
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(Chat::default())
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
