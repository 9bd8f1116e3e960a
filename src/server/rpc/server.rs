//! The gRPC library's server: its services, where it listens, its start and its end.

use std::sync::Arc;

use grpcio::ServerBuilder;
use parking_lot::Mutex;

use super::pollers::Pollers;
use super::queries::Queries;
use super::settings::connection_settings;
use super::{listen, tutorial, unary};
use crate::address::Address;
use crate::server::config::{ServerConfig, StartError};
use crate::server::hub::Hub;
use crate::server::room::RoomHandle;

/// The library's server, with the services of both contracts.
pub struct GrpcServer {
    // The library's server is not `Sync`; the mutex makes this so, and is never locked.
    server: Mutex<grpcio::Server>,
}

impl GrpcServer {
    /// Sets it up. It neither listens nor serves yet. `lobby` is the room of the tutorial's contract.
    pub fn new(
        config: &ServerConfig,
        pollers: &Pollers,
        queries: Queries,
        hub: &Arc<Hub>,
        lobby: Arc<RoomHandle>,
    ) -> Result<Self, StartError> {
        let environment = pollers.environment();
        let server = ServerBuilder::new(Arc::clone(environment))
            .register_service(tutorial::service(Arc::clone(hub), lobby, pollers.clone()))
            .register_service(unary::service(Arc::clone(hub), pollers.clone(), queries))
            .channel_args(connection_settings(environment, config).build_args())
            .build()
            .map_err(|error| StartError::Grpc(Box::new(error)))?;
        Ok(Self { server: Mutex::new(server) })
    }

    /// Binds an address: each that a name stands for. Returns where it listens.
    pub fn bind(&mut self, address: &Address, socket_mode: Option<u32>) -> Result<Vec<Address>, StartError> {
        listen::bind(self.server.get_mut(), address, socket_mode)
    }

    /// Begins to serve on what was bound.
    pub fn start(&mut self) {
        self.server.get_mut().start();
    }

    /// From now on, accepts neither connections nor calls. The future completes when all calls have ended.
    pub fn shut_down(&mut self) -> impl Future + Unpin + use<> {
        self.server.get_mut().shutdown()
    }

    /// Cancels the calls that go on after [`Self::shut_down`].
    pub fn cancel_all_calls(&mut self) {
        self.server.get_mut().cancel_all_calls();
    }
}
