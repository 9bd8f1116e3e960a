//! The gRPC library's server: its services, addresses, start and shutdown.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use grpcio::ServerBuilder;
use parking_lot::Mutex;
use protobuf::reflect::FileDescriptor;

use super::health::HealthService;
use super::patches::servers::{self, Guard, Registration};
use super::patches::{accept, calls};
use super::pollers::Pollers;
use super::reflection::ReflectionService;
use super::reflection::schema::Schema;
use super::settings::connection_settings;
use super::side_calls::SideCalls;
use super::tls::Tls;
use super::unary::{self, Unary};
use super::{listen, tutorial};
use crate::address::Address;
use crate::server::config::{ServerConfig, StartError};
use crate::server::connections::Connections;
use crate::server::gauges::Gauges;
use crate::server::health::HealthState;
use crate::server::hub::Hub;
use crate::server::refusals::Refusals;
use crate::server::room::RoomHandle;
use crate::supervisor::sockets::ListeningSocket;
use crate::wire;

/// The library's server, with the services of both contracts, health checks and server reflection.
pub struct GrpcServer {
    // The library's type is not `Sync`. The mutex makes this one `Sync`, and is never locked.
    server: Mutex<grpcio::Server>,
    registration: Registration,
    side_calls: Vec<Arc<SideCalls>>,
    /// The sockets that it listens on and does not close.
    adopted: Vec<ListeningSocket>,
    // The registration refers to it weakly.
    _guard: Arc<Guard>,
}

/// Where it counts connections, and reports them and those that it refuses.
pub struct Reports {
    pub connections: Arc<Connections>,
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
}

impl GrpcServer {
    /// Creates a server that neither listens nor serves yet. `lobby` is the room of the tutorial's contract.
    pub fn new(
        config: &ServerConfig,
        pollers: &Pollers,
        unary: Unary,
        hub: &Arc<Hub>,
        lobby: Arc<RoomHandle>,
        Reports { connections, refusals, gauges }: Reports,
        health: &Arc<HealthState>,
    ) -> Result<Self, StartError> {
        let guard = Arc::new(Guard { connections, idle_max: config.connection_idle_max, refusals, gauges });
        calls::install();
        let registration = servers::register(&guard);
        let environment = pollers.environment();
        let schema = Arc::new(Schema::new(&contracts(config)));
        let health_service = HealthService::new(hub, health, schema.services().map(str::to_owned));
        let mut side_calls = Vec::from(health_service.calls());
        let mut builder = ServerBuilder::new(Arc::clone(environment));
        if config.reflection {
            let reflection = ReflectionService::new(hub, health, schema);
            side_calls.push(reflection.calls());
            builder = builder.register_service(reflection.build());
        }
        let server = builder
            .register_service(health_service.build())
            .register_service(tutorial::service(Arc::clone(hub), lobby, pollers.clone()))
            .register_service(unary::service(unary, pollers.clone()))
            .channel_args(connection_settings(environment, config, &registration).build_args())
            .build()
            .map_err(|error| StartError::Grpc(Box::new(error)))?;
        Ok(Self { server: Mutex::new(server), registration, side_calls, adopted: Vec::new(), _guard: guard })
    }

    /// Binds an address: all addresses of a name. Returns the bound addresses.
    pub fn bind(
        &mut self,
        address: &Address,
        socket_mode: Option<u32>,
        tls: Option<&Tls>,
    ) -> Result<Vec<Address>, StartError> {
        listen::bind(self.server.get_mut(), &self.registration, address, socket_mode, tls)
    }

    /// Listens on a socket that this process inherited. Returns its address.
    pub fn adopt(&mut self, socket: &ListeningSocket, tls: Option<&Tls>) -> Result<Address, StartError> {
        let adopted = listen::adopt(self.server.get_mut(), &self.registration, socket, tls);
        match adopted {
            Ok(_) => self.adopted.push(socket.clone()),
            // The library may have closed it, so it must not be closed again.
            Err(_) => mem::forget(socket.clone()),
        }
        adopted
    }

    /// Starts to serve on the bound addresses.
    pub fn start(&mut self) {
        accept::keep_descriptors();
        self.server.get_mut().start();
    }

    /// Waits until health checks and streams of reflection have ended, which they do once the drain begins.
    pub fn wait_for_side_calls(&self, deadline: Instant) {
        for calls in &self.side_calls {
            // Those of clients that do not read are cancelled.
            let _ = calls.wait_until_empty(deadline);
        }
    }

    /// Accepts no more connections or calls. The future completes when all calls have ended.
    pub fn shut_down(&mut self) -> impl Future + Unpin + use<> {
        self.server.get_mut().shutdown()
    }

    /// Cancels the calls that have not ended after [`Self::shut_down`].
    pub fn cancel_all_calls(&mut self) {
        self.server.get_mut().cancel_all_calls();
    }
}

/// The files that describe the served contracts. The tutorial's has no login: where others must log in, its calls are
/// refused, unless the operator allows them.
fn contracts(config: &ServerConfig) -> Vec<FileDescriptor> {
    let mut files = vec![wire::v1::file_descriptor().clone(), wire::health::file_descriptor().clone()];
    if !config.logins.are_needed() || config.logins.allows_tutorial {
        files.push(wire::tutorial::file_descriptor().clone());
    }
    if config.reflection {
        files.extend(
            [wire::reflection::file_descriptor(), wire::reflection_v1alpha::file_descriptor()].map(Clone::clone),
        );
    }
    files
}
