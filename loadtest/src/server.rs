//! The server under load: what it says of itself, and the threads whose time is counted.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use testkit::calls::Desk;

use crate::system::{self, Cpu};
use crate::{Fault, clock, relay};

/// Names of the threads that forward packets.
pub(crate) const SHARDS: &str = "hl-shard";
/// Longest wait until earlier calls are gone.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait until the server has finished the recordings of the calls that were measured.
const STORED_LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at a gauge.
const LOOK: Duration = Duration::from_millis(500);

/// What the demo prints of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Server {
    http: SocketAddr,
    metrics: SocketAddr,
    pub(crate) pid: u32,
    service_key: String,
}

impl Server {
    /// Reads what `helpline serve --demo` left at `path`.
    pub(crate) fn read(path: &Path) -> Result<Server, Fault> {
        let text = std::fs::read_to_string(path).map_err(|fault| {
            let path = path.display();
            format!("{path}: {fault}; start `helpline serve --demo` first, or name its file with --server")
        })?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Its REST side.
    pub(crate) fn desk(&self) -> Result<Desk, Fault> {
        Ok(Desk::new(&format!("http://{}", self.http), &self.service_key)?)
    }

    /// Its shard threads, each kept on core 0, away from the generator. Everything else of the server is kept off that core
    /// where a third one is left for it; with two, the kernel places it, as it does without us: on the generator's, which
    /// goes before all others there, nothing would come to an end. So it is with the database in any case.
    pub(crate) fn shards(&self) -> Result<Vec<u32>, Fault> {
        let shards = system::threads(self.pid, SHARDS)?;
        if shards.is_empty() {
            return Err("the server has no shard thread; is it another process than the file says?".into());
        }
        let mut others = Vec::new();
        if system::cores_of(self.pid)? > 2 {
            others.push(self.pid);
            others.extend(system::descendants(self.pid)?);
        }
        for process in others {
            for thread in system::threads(process, "").unwrap_or_default() {
                // What ends meanwhile, or belongs to somebody else, stays where it is.
                let _ = system::keep_thread_off(thread, 0);
            }
        }
        for shard in &shards {
            system::pin(Some(*shard), 0)?;
        }
        Ok(shards)
    }

    /// Its relay's threads, kept on core 0 as well: they are a part of a relayed packet's way.
    pub(crate) fn relay(&self) -> Result<Vec<u32>, Fault> {
        let threads = system::threads(self.pid, relay::THREADS)?;
        for thread in &threads {
            system::pin(Some(*thread), 0)?;
        }
        Ok(threads)
    }

    async fn metrics_text(&self) -> Result<String, Fault> {
        let url = format!("http://{}/metrics", self.metrics);
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// Value of a gauge without labels, from its metrics.
    pub(crate) async fn gauge(&self, name: &str) -> Result<u64, Fault> {
        let text = self.metrics_text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.ok_or_else(|| format!("the server has no {name}"))?.parse()?;
        Ok(value as u64)
    }

    /// The largest value of a gauge of several shards; 0 if none has it.
    pub(crate) async fn largest(&self, name: &str) -> Result<f64, Fault> {
        let text = self.metrics_text().await?;
        Ok(largest(&text, name))
    }

    async fn wait_for(
        &self,
        name: &str,
        limit: Duration,
        else_say: &str,
        is_reached: impl Fn(u64) -> bool,
    ) -> Result<(), Fault> {
        let end = clock::now() + limit;
        while !is_reached(self.gauge(name).await?) {
            if clock::now() >= end {
                return Err(else_say.into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until no call of an earlier run is left.
    pub(crate) async fn wait_until_idle(&self) -> Result<(), Fault> {
        let what = "calls of an earlier run are still there";
        self.wait_for("helpline_live_rooms", IDLE_LIMIT, what, |rooms| rooms == 0)
            .await
    }

    /// Recordings that were finished so far.
    pub(crate) async fn finished(&self) -> Result<u64, Fault> {
        self.gauge(FINISHED).await
    }

    /// Waits until as many recordings are finished: a call that has just ended is not queued yet.
    pub(crate) async fn wait_until_finished(&self, count: u64) -> Result<(), Fault> {
        self.wait_for(FINISHED, STORED_LIMIT, UNFINISHED, |finished| finished >= count)
            .await
    }

    /// Waits until no recording is left to be finished.
    pub(crate) async fn wait_until_stored(&self) -> Result<(), Fault> {
        let name = "helpline_recording_queued";
        self.wait_for(name, STORED_LIMIT, UNFINISHED, |queued| queued == 0)
            .await
    }
}

fn largest(metrics: &str, name: &str) -> f64 {
    let labelled = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let values = labelled.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok());
    values.fold(0.0, f64::max)
}

/// Counts recordings that are finished.
const FINISHED: &str = "helpline_recording_finalise_seconds_count";
const UNFINISHED: &str = "the server does not finish the recordings of the calls";
/// Threads that keep what is recorded while a call lasts.
const RECORDER: &str = "recorder-";
/// The thread that makes recordings of what was kept, after the call.
const FINALISER: &str = "hl-finaliser";

/// CPU time of a server: some of its threads, and all of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// When: since the machine was started. Of a difference, the time that passed.
    pub(crate) at: Duration,
    /// The threads that forward.
    pub(crate) shards: Cpu,
    /// The threads that keep what is recorded.
    pub(crate) recorder: Cpu,
    /// The thread that makes recordings of it.
    pub(crate) finaliser: Cpu,
    /// The whole process, us.
    pub(crate) process_us: u64,
}

impl Used {
    /// What process `pid` has used until now.
    pub(crate) fn now(pid: u32, shards: &[u32]) -> Result<Used, Fault> {
        Ok(Used {
            at: clock::uptime(),
            shards: system::thread_cpu(pid, shards)?,
            recorder: system::thread_cpu(pid, &system::threads(pid, RECORDER)?)?,
            finaliser: system::thread_cpu(pid, &system::threads(pid, FINALISER)?)?,
            process_us: system::process_us(pid)?,
        })
    }

    /// Cores' worth of the threads that forward, of a difference.
    pub(crate) fn busy(&self) -> f64 {
        self.shards.run_ns as f64 / self.at.as_nanos().max(1) as f64
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Used) -> Used {
        Used {
            at: self.at.saturating_sub(earlier.at),
            shards: self.shards.since(earlier.shards),
            recorder: self.recorder.since(earlier.recorder),
            finaliser: self.finaliser.since(earlier.finaliser),
            process_us: self.process_us.saturating_sub(earlier.process_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_shards_the_largest_value_counts() {
        let metrics = "# HELP a b\na{shard=\"0\"} 0.0005\na{shard=\"1\"} 0\nab{shard=\"2\"} 7\na 9\n";
        assert_eq!(largest(metrics, "a"), 0.0005);
        assert_eq!(largest(metrics, "c"), 0.0);
    }
}
