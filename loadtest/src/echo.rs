//! What coturn relays to: one thread, one socket, batches as a shard has them; every datagram goes back where it came
//! from. In a process of its own, so that its time is not taken for the relay's.

use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use udp::{BATCH_MAX, Batch, Bell, HEADROOM_BYTES, Outgoing, Socket, wait};

use crate::{Fault, system};

/// Serves until the standard input ends.
pub(crate) fn serve() -> Result<(), Fault> {
    let socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.whole()?;
    let bell = Arc::new(Bell::new()?);
    let stop = Arc::new(AtomicBool::new(false));
    let (heard, flag) = (Arc::clone(&bell), Arc::clone(&stop));
    let mut out = stdout().lock();
    writeln!(out, "{}", socket.local())?;
    out.flush()?;
    let thread = std::thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || reflect(&socket, &heard, &flag))?;
    stdin().lock().read_to_end(&mut Vec::new())?;
    stop.store(true, Ordering::Relaxed);
    bell.ring();
    thread.join().map_err(|_| "the echo panicked")??;
    Ok(())
}

fn reflect(socket: &Socket, bell: &Bell, stop: &AtomicBool) -> std::io::Result<()> {
    let mut batch = Batch::new(BATCH_MAX);
    let mut came: Vec<Option<(SocketAddr, usize)>> = Vec::with_capacity(BATCH_MAX);
    while !stop.load(Ordering::Relaxed) {
        if !wait(&[socket], bell, -1)? {
            continue;
        }
        let count = batch.receive(socket, 0)?;
        came.clear();
        came.extend((0..count).map(|index| batch.received(index)));
        batch.send(socket, count, |index, slots| {
            let (to, len) = came[index]?;
            let bytes = &slots.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
            Some(Outgoing { bytes, to })
        });
    }
    Ok(())
}

/// The process; it ends when this is dropped.
pub(crate) struct Echo {
    child: Child,
    input: Option<ChildStdin>,
    address: SocketAddr,
}

impl Echo {
    /// Starts it from this program's own file, on core 0.
    pub(crate) fn start() -> Result<Echo, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-echo")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the echo has no output")?).read_line(&mut line)?;
        let echo = Echo {
            address: line.trim().parse()?,
            child,
            input,
        };
        system::pin_process(echo.pid(), 0)?;
        Ok(echo)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.input = None;
        if self.child.wait().is_err() {
            eprintln!("the echo process cannot be waited for");
        }
    }
}
