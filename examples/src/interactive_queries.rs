//! Interactive queries over HTTP: views of pages are counted by two instances of one application, and each of them
//! answers for both. What an instance does not have itself, it sends the client to the other one for.
//!
//! ```text
//! GET /views/{page}        how often the page was seen
//! GET /views/{page}/hours  the same by hour; ?from=..&to=.. in ms chooses hours by their start
//! GET /views               the pages that this instance has
//! GET /instances           who has what
//! ```
//! ```sh
//! cargo run --release --example interactive_queries
//! cargo run --release --example interactive_queries -- --serve
//! ```

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use millstream_examples::{Outcome, Sandbox, at, time_of_day};
use millstream_log::{Clock, SystemClock};
use millstream_streams::dsl::{Consumed, Materialized, Record, Repartitioned, StreamsBuilder};
use millstream_streams::operator::TimeWindows;
use millstream_streams::{Streams, StreamsError, Topology, full_message};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

const APPLICATION: &str = "page-views";
const HOUR: Duration = Duration::from_secs(3600);
const PAGES: [&str; 5] = ["home", "shop", "cart", "help", "login"];

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    // The visitor is the key of what comes in, and the page is the value.
    let pages = builder
        .stream::<String, String>("views", Consumed::default())
        .select_key(|_, page| page.clone())
        .repartition(Repartitioned::named("by-page"));
    pages.group_by_key().count(Materialized::named("views"));
    pages
        .group_by_key()
        .windowed_by(TimeWindows::of(HOUR).grace(HOUR))
        .count(Materialized::named("hours").retention(24 * HOUR));
    builder.build()
}

/// Which hours are wanted, by their starts.
#[derive(Deserialize)]
struct Hours {
    from: Option<i64>,
    to: Option<i64>,
}

/// What is said to a client.
enum Answer {
    Here(Value),
    /// At the instance with this `application.server`.
    Elsewhere(String),
    Nowhere,
    /// The tasks are on their way from one instance to another.
    NotNow,
}

/// Asks the application; its state is on disk, so that is not for a thread of the runtime.
async fn ask(
    app: Arc<Streams>,
    uri: Uri,
    question: impl FnOnce(&Streams) -> Result<Answer, StreamsError> + Send + 'static,
) -> Response {
    match spawn_blocking(move || question(&app)).await {
        Ok(Ok(Answer::Here(value))) => Json(value).into_response(),
        Ok(Ok(Answer::Elsewhere(host))) => {
            Redirect::temporary(&format!("http://{host}{uri}")).into_response()
        }
        Ok(Ok(Answer::Nowhere)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Ok(Answer::NotNow)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, full_message(&error)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Answers for a page if it is here, and else says where it is.
fn of_page(
    app: &Streams,
    store: &str,
    page: &String,
    answer: impl FnOnce() -> Result<Answer, StreamsError>,
) -> Result<Answer, StreamsError> {
    let place = app.key_metadata(store, page)?;
    match place.host {
        _ if place.is_here => answer(),
        Some(host) => Ok(Answer::Elsewhere(host)),
        None => Ok(Answer::NotNow),
    }
}

async fn views_of(State(app): State<Arc<Streams>>, Path(page): Path<String>, uri: Uri) -> Response {
    let question = move |app: &Streams| {
        let answer = || {
            let views = app.store("views")?.key_value::<String, i64>()?.get(&page)?;
            Ok(views
                .map_or(Answer::Nowhere, |views| Answer::Here(json!({"page": page, "views": views.value}))))
        };
        of_page(app, "views", &page, answer)
    };
    ask(app, uri, question).await
}

async fn hours_of(
    State(app): State<Arc<Streams>>,
    Path(page): Path<String>,
    Query(hours): Query<Hours>,
    uri: Uri,
) -> Response {
    let question = move |app: &Streams| {
        let answer = || {
            let starts = hours.from.unwrap_or(i64::MIN)..=hours.to.unwrap_or(i64::MAX);
            let mut found = Vec::new();
            for window in app.store("hours")?.window::<String, i64>()?.fetch(&page, starts)? {
                let (start, views) = window?;
                found.push(json!({"from": time_of_day(start), "views": views}));
            }
            Ok(Answer::Here(found.into()))
        };
        of_page(app, "hours", &page, answer)
    };
    ask(app, uri, question).await
}

async fn views_here(State(app): State<Arc<Streams>>, uri: Uri) -> Response {
    let question = |app: &Streams| {
        let mut found = BTreeMap::new();
        for row in app.store("views")?.key_value::<String, i64>()?.all()? {
            let (page, views) = row?;
            found.insert(page, views.value);
        }
        Ok(Answer::Here(json!(found)))
    };
    ask(app, uri, question).await
}

async fn instances(State(app): State<Arc<Streams>>) -> Json<Value> {
    let clients = app.clients().into_iter().map(|client| {
        let tasks: Vec<String> = client.active.iter().map(ToString::to_string).collect();
        json!({"host": client.host, "tasks": tasks})
    });
    Json(clients.collect())
}

/// An instance of the application with its HTTP server.
struct Instance {
    url: String,
    app: Arc<Streams>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Instance {
    fn open(sandbox: &Sandbox, runtime: &Runtime) -> Outcome<Self> {
        // The system chooses the port, and then the other instances can be told.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let host = listener.local_addr()?.to_string();
        let app = Arc::new(sandbox.start_instance(APPLICATION, topology()?, &host)?);
        let router = Router::new()
            .route("/views", get(views_here))
            .route("/views/{page}", get(views_of))
            .route("/views/{page}/hours", get(hours_of))
            .route("/instances", get(instances))
            .with_state(Arc::clone(&app));
        let (stop, stopped) = oneshot::channel();
        let server = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // That the sender is gone is as good as that it said something.
            axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) }).await
        });
        Ok(Self { url: format!("http://{host}"), app, stop, server })
    }

    /// Answers what is under way, and then commits and leaves.
    fn close(self, runtime: &Runtime) -> Outcome {
        drop(self.stop);
        runtime.block_on(self.server)??;
        Arc::into_inner(self.app).ok_or("a query is still under way")?.close()?;
        Ok(())
    }
}

/// Waits until the instances have shared the tasks and have processed all input.
fn settle(instances: &[&Instance]) -> Outcome {
    let is_settled = || {
        let shares = instances.iter().map(|instance| instance.app.clients());
        let mut shares = shares.map(|clients| {
            let tasks: Vec<_> = clients.iter().map(|client| client.active.len()).collect();
            (tasks.len() == instances.len() && !tasks.contains(&0), clients)
        });
        let Some((all_work, first)) = shares.next() else { return true };
        all_work && shares.all(|(_, clients)| clients == first)
    };
    let clock = SystemClock::new();
    for _ in 0..600 {
        let mut is_done = is_settled();
        for instance in instances {
            is_done &= instance.app.wait_caught_up(Duration::from_millis(50))?;
        }
        if is_done && is_settled() {
            return Ok(());
        }
        clock.sleep(Duration::from_millis(50));
    }
    Err("the instances do not come to rest".into())
}

/// What a client gets, redirects followed.
fn fetch(url: &str) -> Outcome<String> {
    match ureq::get(url).call() {
        Ok(mut response) => Ok(response.body_mut().read_json::<Value>()?.to_string()),
        Err(ureq::Error::StatusCode(status)) => Ok(StatusCode::from_u16(status)?.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// Asks all instances, which must say the same.
fn show(instances: &[&Instance], path: &str) -> Outcome {
    let answers = instances.iter().map(|instance| fetch(&format!("{}{path}", instance.url)));
    let answers = answers.collect::<Outcome<Vec<String>>>()?;
    if answers.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(format!("{path}: the instances say {answers:?}").into());
    }
    println!("GET {path} -> {}", answers.first().map_or("", String::as_str));
    Ok(())
}

fn main() -> Outcome {
    let sandbox = Sandbox::new(&["views"], 4)?;
    let views = (0..120).map(|view: i64| {
        let page = PAGES[usize::try_from(view * view / 7).unwrap_or(0) % PAGES.len()];
        Record::new(format!("visitor-{}", view % 7), page.to_owned(), at(9, 0, 0) + view * 60_000)
    });
    sandbox.write("views", views)?;
    let runtime = Runtime::new()?;
    let (first, second) = (Instance::open(&sandbox, &runtime)?, Instance::open(&sandbox, &runtime)?);
    settle(&[&first, &second])?;
    if std::env::args().any(|argument| argument == "--serve") {
        println!("{}\n{}\npress Enter to stop", first.url, second.url);
        std::io::stdin().read_line(&mut String::new())?;
        second.close(&runtime)?;
        return first.close(&runtime);
    }
    let both = [&first, &second];
    for page in PAGES {
        show(&both, &format!("/views/{page}"))?;
    }
    show(&both, "/views/home/hours")?;
    show(&both, &format!("/views/home/hours?from={}", at(10, 0, 0)))?;
    show(&both, "/views/nothing")?;
    second.close(&runtime)?;
    settle(&[&first])?;
    println!("with one instance");
    show(&[&first], "/views")?;
    first.close(&runtime)
}
