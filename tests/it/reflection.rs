//! Server reflection: what clients without a `.proto` file learn, and what hostile ones cost.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    CallOption, ChannelBuilder, Client, ClientDuplexReceiver, ClientDuplexSender, Error, Method, RpcStatusCode,
    WriteFlags,
};
use hubbub::limits::{REFLECTION_REQUEST_BYTES_MAX, REFLECTIONS_PER_PEER_MAX};
use hubbub::server::ServerConfig;
use hubbub::threads::park::block_on_until;
use hubbub::wire::health::HealthCheckRequest;
use hubbub::wire::reflection::server_reflection_request::Message_request as Question;
use hubbub::wire::reflection::{ServerReflectionRequest, ServerReflectionResponse};
use hubbub::wire::{HEALTH_CHECK, REFLECTION_CLIENT, REFLECTION_V1ALPHA_CLIENT, v1};
use protobuf::Message as _;
use protobuf::descriptor::FileDescriptorProto;

use super::support::chatter::environment;
use super::support::foreign;
use super::support::process::ServerProcess;
use super::support::raw::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, headers, prefixed};
use super::support::talker::{Talker, call};
use super::support::{DEADLINE, ephemeral, start, start_with, target, wait_for};

const NOT_FOUND: i32 = 5;
const INVALID_ARGUMENT: i32 = 3;

type Reflection = Method<ServerReflectionRequest, ServerReflectionResponse>;

const PACKAGES: [&Reflection; 2] = [&REFLECTION_CLIENT, &REFLECTION_V1ALPHA_CLIENT];

const SERVICES: [&str; 5] = [
    "chatserver.Services",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "hubbub.v1.ChatService",
];

/// A stream of reflection.
struct Reflector {
    sender: ClientDuplexSender<ServerReflectionRequest>,
    receiver: ClientDuplexReceiver<ServerReflectionResponse>,
}

impl Reflector {
    fn over(client: &Client, method: &Reflection) -> Self {
        let (sender, receiver) = client.duplex_streaming(method, CallOption::default()).expect("a call begins");
        Self { sender, receiver }
    }

    fn send(&mut self, question: Option<Question>) {
        let request = ServerReflectionRequest { host: "h".to_owned(), message_request: question, ..Default::default() };
        // After the end of the stream, the receiver has the status.
        let sent = self.sender.send((request, WriteFlags::default()));
        let _ = block_on_until(&mut Box::pin(sent), Instant::now() + DEADLINE).expect("the server reads");
    }

    fn next(&mut self) -> Result<ServerReflectionResponse, RpcStatusCode> {
        let next = block_on_until(&mut self.receiver.next(), Instant::now() + DEADLINE).expect("an answer, or an end");
        match next {
            Some(Ok(response)) => Ok(response),
            Some(Err(Error::RpcFailure(status))) => Err(status.code()),
            Some(Err(error)) => panic!("an error of the library: {error}"),
            None => Err(RpcStatusCode::OK),
        }
    }

    fn ask(&mut self, question: Question) -> ServerReflectionResponse {
        self.send(Some(question.clone()));
        let response = self.next().expect("an answer");
        assert_eq!(response.valid_host, "h");
        assert_eq!(response.original_request.message_request, Some(question));
        response
    }

    fn services(&mut self) -> Vec<String> {
        let response = self.ask(Question::ListServices(String::new()));
        response.list_services_response().service.iter().map(|service| service.name.clone()).collect()
    }

    fn files(&mut self, question: Question) -> Vec<FileDescriptorProto> {
        let response = self.ask(question);
        let files = &response.file_descriptor_response().file_descriptor_proto;
        files.iter().map(|file| FileDescriptorProto::parse_from_bytes(file).expect("a description")).collect()
    }

    fn error(&mut self, question: Question) -> i32 {
        let response = self.ask(question);
        assert!(!response.error_response().error_message.is_empty(), "{response:?}");
        response.error_response().error_code
    }
}

/// A connection of its own.
fn connect(target: &str) -> Client {
    Client::new(ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(target))
}

#[test]
fn both_packages_describe_every_service() {
    let server = start();
    let client = connect(&target(&server));
    for method in PACKAGES {
        let mut reflector = Reflector::over(&client, method);
        assert_eq!(reflector.services(), SERVICES);
        for service in SERVICES {
            let files = reflector.files(Question::FileContainingSymbol(service.to_owned()));
            let (package, name) = service.rsplit_once('.').expect("it has a package");
            assert_eq!(files[0].package(), package);
            assert!(files[0].service.iter().any(|service| service.name() == name));
            let same = reflector.files(Question::FileByFilename(files[0].name().to_owned()));
            assert_eq!(same, files);
        }
        let chat = reflector.files(Question::FileContainingSymbol("hubbub.v1.ChatService.Chat".to_owned()));
        assert_eq!(chat, [v1::file_descriptor().proto().clone()]);
        let numbers = reflector.ask(Question::AllExtensionNumbersOfType("hubbub.v1.Event".to_owned()));
        let numbers = numbers.all_extension_numbers_response();
        assert_eq!((numbers.base_type_name.as_str(), numbers.extension_number.len()), ("hubbub.v1.Event", 0));
        // A stream that its client ends, ends well.
        let closed = block_on_until(&mut reflector.sender.close(), Instant::now() + DEADLINE);
        closed.expect("in time").expect("it is closed");
        assert_eq!(reflector.next(), Err(RpcStatusCode::OK));
    }
}

#[test]
fn a_question_without_an_answer_is_an_error_and_the_stream_goes_on() {
    let server = start();
    let client = connect(&target(&server));
    let mut reflector = Reflector::over(&client, &REFLECTION_CLIENT);
    let long = "x".repeat(REFLECTION_REQUEST_BYTES_MAX - 100);
    for symbol in ["", ".", "hubbub", "hubbub.v1", "hubbub.v1.ChatService.Nothing", "../../etc/passwd", &long] {
        assert_eq!(reflector.error(Question::FileContainingSymbol(symbol.to_owned())), NOT_FOUND);
        assert_eq!(reflector.error(Question::FileByFilename(symbol.to_owned())), NOT_FOUND);
        assert_eq!(reflector.error(Question::AllExtensionNumbersOfType(symbol.to_owned())), NOT_FOUND);
    }
    assert_eq!(reflector.error(Question::FileContainingExtension(Default::default())), NOT_FOUND);
    reflector.send(None);
    assert_eq!(reflector.next().expect("an answer").error_response().error_code, INVALID_ARGUMENT);
    assert_eq!(reflector.services(), SERVICES);
}

#[test]
fn it_can_be_switched_off() {
    let server = start_with(ServerConfig { reflection: false, ..ephemeral() });
    let client = connect(&target(&server));
    for method in PACKAGES {
        let mut reflector = Reflector::over(&client, method);
        reflector.send(Some(Question::ListServices(String::new())));
        assert_eq!(reflector.next(), Err(RpcStatusCode::UNIMPLEMENTED));
    }
    let request = |service: &str| HealthCheckRequest { service: service.to_owned(), ..Default::default() };
    let end = call(&client, &HEALTH_CHECK, &request(SERVICES[2])).expect_err("it is not served");
    assert_eq!(end.code, RpcStatusCode::NOT_FOUND);
    call(&client, &HEALTH_CHECK, &request(SERVICES[4])).expect("it is served");
}

#[test]
fn a_connection_has_few_streams_of_it() {
    let server = start();
    let client = connect(&target(&server));
    let mut open: Vec<_> =
        (0..REFLECTIONS_PER_PEER_MAX).map(|_| Reflector::over(&client, &REFLECTION_CLIENT)).collect();
    open.iter_mut().for_each(|reflector| assert_eq!(reflector.services(), SERVICES));
    let mut refused = Reflector::over(&client, &REFLECTION_V1ALPHA_CLIENT);
    assert_eq!(refused.next(), Err(RpcStatusCode::RESOURCE_EXHAUSTED));
    // Another connection has its own.
    assert_eq!(Reflector::over(&connect(&target(&server)), &REFLECTION_CLIENT).services(), SERVICES);
    open.pop();
    wait_for("a place", || {
        let mut next = Reflector::over(&client, &REFLECTION_CLIENT);
        next.send(Some(Question::ListServices(String::new())));
        next.next().is_ok()
    });
}

/// Streams on which nothing is asked do not hold a drain up.
#[test]
fn a_drain_ends_its_streams() {
    let server = start_with(ServerConfig { drain_timeout: Duration::from_secs(600), ..ephemeral() });
    let client = connect(&target(&server));
    let mut reflector = Reflector::over(&client, &REFLECTION_CLIENT);
    assert_eq!(reflector.services(), SERVICES);
    let (done, drained) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(server.drain()));
    assert_eq!(reflector.next(), Err(RpcStatusCode::UNAVAILABLE));
    assert_eq!(drained.recv_timeout(DEADLINE), Ok(0));
}

fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &headers(REFLECTION_CLIENT.name, None))
}

fn encoded(question: Question) -> Vec<u8> {
    let request = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    request.write_to_bytes().expect("it can be encoded")
}

#[test]
fn garbage_ends_its_stream_with_a_reason() {
    let server = start();
    let long = encoded(Question::FileContainingSymbol("x".repeat(REFLECTION_REQUEST_BYTES_MAX)));
    let bad: [(&[u8], &str); 5] = [
        (&[0xff; 40], "can't be decoded"),
        // A text that is not UTF-8, a length beyond the end, a group without one.
        (&[0x22, 2, 0xff, 0xfe], "can't be decoded"),
        (&[0x22, 0x7f, b'x'], "can't be decoded"),
        (&[0x0b, 0x0b, 0x0b], "can't be decoded"),
        (&long, "send at most 4096"),
    ];
    for (bytes, expected) in bad {
        let mut raw = Raw::open(&target(&server));
        raw.write(&[open(1), frame(DATA, 0, 1, &prefixed(0, bytes))].concat());
        let trailers = raw.read_trailers();
        assert!(trailers.contains(expected), "{bytes:?}: {trailers:?}");
    }
    // An empty request asks for nothing, and is answered.
    let mut raw = Raw::open(&target(&server));
    raw.write(&[open(1), frame(DATA, END_STREAM, 1, &prefixed(0, &[]))].concat());
    let (messages, _) = raw.read_to_end();
    let response = ServerReflectionResponse::parse_from_bytes(&messages[0]).expect("an answer");
    assert_eq!(response.error_response().error_code, INVALID_ARGUMENT);
}

/// Each asks for 9 KB with 22 bytes. Their answers wait in no queue: a stream's next request is read when its last answer
/// is written.
#[test]
fn ten_thousand_requests_of_clients_that_do_not_read_cost_little() {
    const MORE_KIB_MAX: usize = 32 * 1024;
    const CONNECTIONS: usize = 4;
    const REQUESTS: usize = 10_000 / CONNECTIONS / REFLECTIONS_PER_PEER_MAX;
    let mut server = ServerProcess::start(&[]);
    let mut talker = Talker::join(&environment(), server.target(), "ann", "garden");
    let client = connect(server.target());
    let mut reflector = Reflector::over(&client, &REFLECTION_CLIENT);
    assert_eq!(reflector.services(), SERVICES);
    let (before, threads) = (server.rss_kib(), server.own_threads());
    let message = prefixed(0, &encoded(Question::FileContainingSymbol("hubbub.v1.Hello".to_owned())));
    // The window of a connection: all of them may be sent before the server has read any.
    assert!(message.len() * REQUESTS * REFLECTIONS_PER_PEER_MAX < 65_535);
    let mut hostile: Vec<_> = (0..CONNECTIONS).map(|_| Raw::open(server.target())).collect();
    for raw in &mut hostile {
        for stream in (1..).step_by(2).take(REFLECTIONS_PER_PEER_MAX) {
            raw.write(&[open(stream), frame(DATA, 0, stream, &message).repeat(REQUESTS)].concat());
        }
    }
    for n in 0..20 {
        talker.post("garden", 0, &n.to_string());
        assert_eq!(talker.hear().2, n.to_string());
        assert_eq!(reflector.services(), SERVICES);
    }
    assert!(server.rss_kib() < before + MORE_KIB_MAX, "{before} KiB became {}", server.rss_kib());
    assert!(server.own_threads() <= threads);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

/// Python's client lists the services, gets their descriptions, posts and lists rooms, with no `.proto` file.
#[test]
fn python_calls_the_server_without_its_contract() {
    let server = start();
    let output = foreign::python()
        .arg(foreign::script("reflection.py"))
        .arg(target(&server))
        .arg(foreign::project("proto"))
        .output()
        .expect("HUBBUB_TEST_PYTHON can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
