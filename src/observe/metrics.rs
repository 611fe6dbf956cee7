//! Metrics in the text format of Prometheus. Labels are route templates, methods and statuses;
//! never an id, a code or a search value.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Requests answered, by method, route template and status.
pub const REQUESTS: &str = "candor_http_requests_total";
/// Seconds from the request's head to the answer's head, by method and route template.
pub const SECONDS: &str = "candor_http_request_seconds";
/// Requests being answered.
pub const IN_FLIGHT: &str = "candor_http_requests_in_flight";

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// How often samples of histograms are folded into their buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's recorder: `metrics` allows one, and a test starts many servers.
static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new();
    let builder = match builder.set_buckets(BUCKETS) {
        Ok(builder) => builder,
        // Only an empty list is refused.
        Err(_) => PrometheusBuilder::new(),
    };
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Refused only where another recorder stands already; then that one has the samples.
    let _ = metrics::set_global_recorder(recorder);
    describe_counter!(REQUESTS, Unit::Count, "Requests answered");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to the head of the answer");
    describe_gauge!(IN_FLIGHT, Unit::Count, "Requests being answered");
    handle
});

/// Starts recording. Later calls have no effect.
pub fn start() {
    LazyLock::force(&RECORDER);
}

/// The metrics as `GET /metrics` shows them.
#[must_use]
pub fn render() -> String {
    RECORDER.render()
}

/// Keeps memory flat between scrapes; runs until it is dropped.
pub async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        RECORDER.run_upkeep();
    }
}
