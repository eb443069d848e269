//! A wire to a server that can be cut: after so many bytes of answers, both sides see the connection end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

/// A listener on loopback whose connections go on to a server.
pub struct Wire {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// How many more bytes of answers pass.
    allowed: AtomicI64,
    /// How often the wire was cut for that.
    cuts: AtomicUsize,
    /// How many connections there were.
    connections: AtomicUsize,
    ended: AtomicBool,
}

impl Wire {
    /// A wire to that port.
    pub fn to(server: u16) -> Wire {
        Wire::start(move |_| TcpStream::connect(("127.0.0.1", server)))
    }

    /// A proxy for HTTPS: wherever the client asks it to connect.
    pub fn proxy() -> Wire {
        Wire::start(|client| {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte)?;
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
            let server = TcpStream::connect(target.ok_or_else(|| std::io::Error::other("not CONNECT"))?)?;
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
            Ok(server)
        })
    }

    /// Lets only so many more bytes of answers pass.
    pub fn cut_after(&self, bytes: i64) {
        self.shared.allowed.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.cut_after(i64::MAX);
    }

    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    fn start(open: impl Fn(&mut TcpStream) -> std::io::Result<TcpStream> + Send + 'static) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("a port").port();
        let shared = Arc::new(Shared {
            allowed: AtomicI64::new(i64::MAX),
            cuts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut client = client.expect("a connection");
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                // A server that refuses looks to the client like one that hangs up.
                if let Ok(server) = open(&mut client) {
                    connect(client, server, &of_thread);
                }
            }
        });
        Wire { port, shared }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        if let Err(error) = TcpStream::connect(("127.0.0.1", self.port)) {
            eprintln!("a wire was gone before its end: {error}");
        }
    }
}

fn connect(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let (back, forth) = (
        client.try_clone().expect("a handle"),
        server.try_clone().expect("a handle"),
    );
    std::thread::spawn(move || pass(client, forth, |_| true));
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        pass(server, back, |bytes| {
            let bytes = i64::try_from(bytes).expect("a small number");
            let left = shared.allowed.fetch_sub(bytes, Ordering::SeqCst);
            let passes = left >= bytes;
            shared.cuts.fetch_add(usize::from(!passes), Ordering::SeqCst);
            passes
        });
    });
}

/// Copies until either side ends or what passes is refused; then both ends are closed.
fn pass(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(usize) -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !may_pass(read) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for side in [from, to] {
        // The other direction may have closed it already.
        if let Err(error) = side.shutdown(Shutdown::Both) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotConnected, "{error}");
        }
    }
}
