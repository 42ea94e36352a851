//! Packets to and fro, over TCP, TLS or a socket file.

use std::io;

use bytes::BytesMut;
use mysql_common::constants::CapabilityFlags;
use mysql_common::packets::ErrPacket;
use mysql_common::proto::codec::PacketCodec;
use mysql_common::proto::codec::error::PacketCodecError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use zeroize::Zeroize as _;

use super::tls::Tls;
use super::{Error, Result};

/// The longest packet that is accepted; a group's rows take less than a tenth.
pub(super) const LONGEST_PACKET: usize = 1 << 20;
/// The room that is made for what arrives.
const ROOM: usize = 4 << 10;
/// `0xFF`: an error packet.
const ERROR: u8 = 0xFF;

/// What carries the packets.
pub(super) enum Stream {
    Tcp(TcpStream),
    Socket(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Stream {
    fn both_ways(&mut self) -> &mut dyn Duplex {
        match self {
            Self::Tcp(stream) => stream,
            Self::Socket(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }
}

/// What is on its way out may be a password: wiped when it is sent, and when nobody waits for that any more.
#[derive(Default)]
struct Leaving(BytesMut);

impl Leaving {
    fn wipe(&mut self) {
        self.0.as_mut().zeroize();
        self.0.clear();
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A stream of packets, each with its number: one that is out of turn is an error.
pub(super) struct Wire {
    stream: Stream,
    codec: PacketCodec,
    arrived: BytesMut,
    leaving: Leaving,
    packet: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        let mut codec = PacketCodec::default();
        codec.max_allowed_packet = LONGEST_PACKET;
        Self { stream, codec, arrived: BytesMut::new(), leaving: Leaving::default(), packet: Vec::new() }
    }

    /// Whether nobody on the way can read what is sent.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self.stream, Stream::Tcp(_))
    }

    /// Begins TLS, after the server was told.
    pub(super) async fn encrypt(self, tls: &Tls) -> Result<Self> {
        let Stream::Tcp(stream) = self.stream else { return Ok(self) };
        // What came before could be anybody's.
        if !self.arrived.is_empty() {
            return Err(Error::OutOfPlace("bytes came between the greeting and TLS".to_owned()));
        }
        let stream = Stream::Tls(Box::new(tls.connect(stream).await?));
        Ok(Self { stream, ..self })
    }

    /// Sends the first packet of a new conversation.
    pub(super) async fn command(&mut self, body: &[u8]) -> Result<()> {
        self.codec.reset_seq_id();
        self.send(body).await
    }

    pub(super) async fn send(&mut self, mut body: &[u8]) -> Result<()> {
        self.codec.encode(&mut body, &mut self.leaving.0).map_err(of_codec)?;
        let stream = self.stream.both_ways();
        stream.write_all(&self.leaving.0).await?;
        stream.flush().await?;
        self.leaving.wipe();
        Ok(())
    }

    /// The next packet; an error packet is an error.
    pub(super) async fn receive(&mut self, capabilities: CapabilityFlags) -> Result<&[u8]> {
        self.packet.clear();
        while !self.codec.decode(&mut self.arrived, &mut self.packet).map_err(of_codec)? {
            self.read().await?;
        }
        if self.packet.first() == Some(&ERROR) {
            return Err(error_in(&self.packet, capabilities));
        }
        Ok(&self.packet)
    }

    /// Waits for more bytes. Nothing is lost where it is not waited for to the end.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        self.arrived.reserve(ROOM);
        let stream = self.stream.both_ways();
        match stream.read_buf(&mut self.arrived).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            _ => Ok(()),
        }
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.stream.both_ways().shutdown().await
    }
}

fn error_in(packet: &[u8], capabilities: CapabilityFlags) -> Error {
    match mysql_common::io::ParseBuf(packet).parse::<ErrPacket<'_>>(capabilities) {
        Ok(ErrPacket::Error(error)) => {
            Error::Server { code: error.error_code(), message: error.message_str().into_owned() }
        }
        Ok(ErrPacket::Progress(_)) => Error::NotUnderstood("a report of progress".to_owned()),
        Err(error) => Error::NotUnderstood(error.to_string()),
    }
}

fn of_codec(error: PacketCodecError) -> Error {
    match error {
        PacketCodecError::Io(error) => Error::Io(error),
        PacketCodecError::PacketsOutOfSync => Error::OutOfPlace(error.to_string()),
        PacketCodecError::PacketTooLarge | PacketCodecError::BadCompressedPacketHeader => {
            Error::NotUnderstood(error.to_string())
        }
    }
}
