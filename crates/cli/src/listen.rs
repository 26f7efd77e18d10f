//! An address to listen on, as people write it: `127.0.0.1:3389`, `localhost:3389`, or `:3389` for all
//! addresses.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use cutrickle_error::chain;
use cutrickle_trickle::{Server, ServerConfig};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// This port of all addresses, IPv6 and IPv4.
    All(u16),
    /// One address.
    At(SocketAddr),
}

impl Listen {
    /// Opens the port. If all addresses are meant and some cannot be used, the log says which and why.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn bind(self, config: ServerConfig) -> io::Result<Server> {
        let port = match self {
            Self::At(address) => return Server::bind(address, config).await,
            Self::All(port) => port,
        };
        // The unspecified address of IPv6 accepts IPv4 connections as well, unless the system is configured
        // otherwise.
        match Server::bind((Ipv6Addr::UNSPECIFIED, port).into(), config.clone()).await {
            Err(e) if !matches!(e.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
                tracing::warn!("listening on IPv4 alone: there is no IPv6 here: {}", chain(&e));
                Server::bind((Ipv4Addr::UNSPECIFIED, port).into(), config).await
            }
            Ok(server) => {
                let only = tokio::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").await;
                if only.is_ok_and(|only| only.trim() == "1") {
                    tracing::warn!("listening on IPv6 alone: net.ipv6.bindv6only is 1");
                }
                Ok(server)
            }
            taken => taken,
        }
    }
}

/// The URL to which names of channels are appended, in a form that programs on this machine can use.
pub fn url(server: &Server) -> String {
    let bound = server.local_addr();
    if !bound.ip().is_unspecified() {
        return server.url();
    }
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()));
    server.url().replacen(&bound.to_string(), &local.to_string(), 1)
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.rsplit_once(':') {
            Some(("", port)) => port.parse().ok().map(Self::All),
            Some(("localhost", port)) => {
                port.parse().ok().map(|port: u16| Self::At((Ipv4Addr::LOCALHOST, port).into()))
            }
            _ => text.parse().ok().map(Self::At),
        };
        parsed.ok_or_else(|| "ADDRESS:PORT is wanted, as 127.0.0.1:3389, or :3389 for all addresses".into())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, ":{port}"),
            Self::At(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        assert_eq!(":3389".parse(), Ok(Listen::All(3389)));
        assert_eq!("localhost:1".parse(), Ok(Listen::At((Ipv4Addr::LOCALHOST, 1).into())));
        for same in ["127.0.0.1:3389", "[::1]:0", "0.0.0.0:80"] {
            assert_eq!(same.parse::<Listen>().map(|listen| listen.to_string()), Ok(same.to_owned()));
        }
        for wrong in ["", ":", "3389", ":x", ":65536", "here:1", "::1", "127.0.0.1"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
