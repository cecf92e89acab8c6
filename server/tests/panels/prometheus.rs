//! A real Prometheus with the shipped rules, scraping every second.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{Folder, client, now, until};
use crate::process::Process;
use crate::questions::{INTERVAL, Question};

/// Longest start until the first sample; on a quiet machine it is five seconds.
const FIRST_SAMPLE_LIMIT: Duration = Duration::from_secs(60);
/// Between two asks of the same question.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Whether the tools are on this machine. A missing one is a printed skip, or a failure where it is required.
pub(crate) fn is_here() -> bool {
    for program in ["prometheus", "promtool"] {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if let Err(error) = found {
            let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
            assert!(!required, "{program}: {error}");
            println!("skipped: {program} is not here ({error})");
            return false;
        }
    }
    true
}

/// `promtool check metrics`: names, units and words as Prometheus wants them.
pub(crate) fn check_metrics(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// See the top of this file.
pub(crate) struct Prometheus {
    _process: Process,
    base: String,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts it and waits for the first sample of `target`.
    pub(crate) async fn start(folder: &Folder, target: SocketAddr) -> Prometheus {
        let home = folder.file("prometheus");
        fs::create_dir_all(&home).expect("a folder");
        let rules = fs::canonicalize(crate::deploy().join("prometheus/rules.yml")).expect("the rules are there");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [ {} ]\n\
             scrape_configs:\n  - job_name: helpline\n    static_configs: [ {{ targets: [ \"{target}\" ] }} ]\n",
            rules.display()
        );
        fs::write(home.join("prometheus.yml"), configuration).expect("written");
        // Prometheus does not tell which port it got, so it is told a free one.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let mut process = run(&home, address);
        let prometheus = |process| Prometheus {
            _process: process,
            base: format!("http://{address}/api/v1/query"),
            http: client(),
        };
        let http = client();
        let ready = format!("http://{address}/-/ready");
        until("prometheus is ready", FIRST_SAMPLE_LIMIT, async || {
            if let Some(status) = process.ended() {
                let log = fs::read_to_string(home.join("log")).unwrap_or_default();
                panic!("prometheus ended: {status}\n{log}");
            }
            let reply = http.get(&ready).send().await.ok()?;
            reply.status().is_success().then_some(())
        })
        .await;
        let prometheus = prometheus(process);
        until("the first sample", FIRST_SAMPLE_LIMIT, async || {
            let up = prometheus.ask("up{job=\"helpline\"}").await.ok()?;
            numbers(&up).contains(&1.0).then_some(())
        })
        .await;
        prometheus
    }

    /// Asks until the answer has a series, and a number now or at some moment of the calls: a share of the live legs is
    /// none while there are none. With `numbers_may_miss` the series is enough.
    ///
    /// # Errors
    /// At `end`, with what was answered last.
    pub(crate) async fn answers(
        &self,
        question: &Question,
        numbers_may_miss: bool,
        end: Instant,
    ) -> Result<(), String> {
        loop {
            let answer = self.ask(&question.expr).await;
            let found = answer.as_ref().map(numbers).unwrap_or_default();
            let number = |numbers: &[f64]| numbers.iter().any(|number| number.is_finite());
            if !found.is_empty() {
                let earlier = format!("max_over_time(({})[{INTERVAL}:1s])", question.expr);
                if numbers_may_miss || number(&found) || number(&numbers(&self.ask(&earlier).await?)) {
                    return Ok(());
                }
            }
            if now() >= end {
                let answer = answer.map(|answer| answer.to_string()).unwrap_or_else(|words| words);
                return Err(format!("{}: {} is answered by {answer}", question.of, question.expr));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn ask(&self, expr: &str) -> Result<Value, String> {
        let url = reqwest::Url::parse_with_params(&self.base, [("query", expr)]).expect("a URL");
        let reply = self.http.get(url).send().await.map_err(|fault| fault.to_string())?;
        let mut answer: Value = reply.json().await.map_err(|fault| fault.to_string())?;
        if answer["status"] != "success" {
            return Err(answer.to_string());
        }
        Ok(answer["data"]["result"].take())
    }
}

/// The values of an instant vector.
fn numbers(result: &Value) -> Vec<f64> {
    let series = result.as_array().into_iter().flatten();
    series
        .filter_map(|series| series["value"][1].as_str()?.parse().ok())
        .collect()
}

fn run(home: &Path, address: SocketAddr) -> Process {
    let log = fs::File::create(home.join("log")).expect("a log file");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn")
        .stdout(Stdio::null())
        .stderr(log);
    Process::start(&mut command)
}
