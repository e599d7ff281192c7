//! The registry's client against its server, over the network and over TLS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use millstream_formats::{
    Compatibility, Deleted, EmbeddedRegistry, Mode, Reference, Registration, RegistryAdmin, RegistryClient,
    RegistryClientConfig, RegistryServer, RegistryServerConfig, Schema, SchemaRegistry, SchemaType, Scope,
    SubjectConfig, VersionSpec,
};
use millstream_log::{Log, ManualClock, Timestamp};

fn server() -> RegistryServer {
    let registry = Arc::new(EmbeddedRegistry::new());
    let config =
        RegistryServerConfig { address: SocketAddr::from(([127, 0, 0, 1], 0)), body_bytes_max: 1 << 16 };
    RegistryServer::start(registry, &config).unwrap()
}

fn client(url: &str) -> RegistryClient {
    RegistryClient::new(&RegistryClientConfig::new(url)).unwrap()
}

fn url(server: &RegistryServer) -> String {
    format!("http://{}", server.address())
}

fn avro(text: &str) -> Schema {
    Schema::new(SchemaType::Avro, text)
}

/// An address where nothing listens.
fn nowhere() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// What both kinds of registry do.
fn exercise(registry: &dyn RegistryAdmin) {
    let subject = ":.c:a/b c";
    let item = avro(r#"{"type":"record","name":"Item","fields":[{"name":"n","type":"int"}]}"#);
    assert_eq!(registry.register("item", &item), Ok(1));
    assert_eq!(registry.register("item", &item), Ok(1));
    let order = Schema {
        references: vec![Reference { name: "Item".into(), subject: "item".into(), version: 1 }],
        ..avro(r#"{"type":"record","name":"Order","fields":[{"name":"item","type":"Item"}]}"#)
    };
    assert_eq!(registry.register("order", &order), Ok(2));
    assert_eq!(registry.schema(2), Ok(order.clone()));
    assert_eq!(registry.resolve(&order).unwrap().references, [("Item".to_owned(), item.clone())]);
    assert_eq!(registry.lookup("order", &order).unwrap().version, 1);
    assert_eq!(registry.latest("item").unwrap().schema, item);
    assert_eq!(registry.version("item", 1).unwrap().id, 1);
    assert_eq!(registry.version("item", 2).unwrap_err().code, 40402);
    assert_eq!(registry.subjects(), Ok(vec!["item".into(), "order".into()]));
    assert_eq!(registry.register(subject, &avro(r#""int""#)), Ok(1));
    assert_eq!(registry.all_subjects(":*:", Deleted::Exclude).unwrap().len(), 3);
    assert_eq!(registry.versions(subject, Deleted::Exclude), Ok(vec![1]));
    assert_eq!(registry.check(subject, &avro(r#""long""#), false), Ok(vec![]));
    assert!(!registry.check(subject, &avro(r#""string""#), true).unwrap().is_empty());
    assert_eq!(registry.register(subject, &avro(r#""string""#)).unwrap_err().code, 409);
    assert_eq!(registry.delete_subject("item", false).unwrap_err().code, 42206);
    assert_eq!(registry.delete_version("order", VersionSpec::Latest, false), Ok(1));
    assert_eq!(registry.delete_subject("item", false), Ok(vec![1]));
    assert_eq!(registry.version("item", 1).unwrap_err().code, 40401, "what is kept is forgotten");
    assert_eq!(registry.resolve(&order).unwrap().references.len(), 1, "what was deleted still explains");
    assert_eq!(registry.register("item", &item), Ok(1));
    assert_eq!(registry.find("item", VersionSpec::Latest).unwrap().version, 2);
    settings(registry);
}

fn settings(registry: &dyn RegistryAdmin) {
    let level = |level| SubjectConfig { compatibility: Some(level), ..SubjectConfig::default() };
    assert_eq!(registry.config(None, Scope::Own), Ok(level(Compatibility::Backward)));
    assert_eq!(registry.config(Some("s/t"), Scope::Own).unwrap_err().code, 40408);
    let config = SubjectConfig {
        compatibility: Some(Compatibility::None),
        normalize: Some(true),
        alias: Some("real".into()),
        compatibility_group: Some("g".into()),
    };
    assert_eq!(registry.set_config(Some("s/t"), config.clone()), Ok(()));
    assert_eq!(registry.config(Some("s/t"), Scope::Own), Ok(config));
    assert_eq!(registry.config(Some("other"), Scope::Effective), Ok(level(Compatibility::Backward)));
    let id = registry.register("s/t", &avro(r#""int""#)).unwrap();
    assert_eq!(registry.latest("real").unwrap().id, id, "an alias");
    assert_eq!(registry.delete_config(Some("s/t")), Ok(()));
    assert_eq!(registry.delete_config(Some("s/t")).unwrap_err().code, 40401);
    assert_eq!(registry.latest("s/t").unwrap_err().code, 40401, "none any more");

    assert_eq!(registry.mode(None, Scope::Own), Ok(Mode::ReadWrite));
    assert_eq!(registry.mode(Some("real"), Scope::Own).unwrap_err().code, 40409);
    assert_eq!(registry.set_mode(Some("real"), Mode::Import, false).unwrap_err().code, 42205);
    assert_eq!(registry.set_mode(Some("real"), Mode::Import, true), Ok(()));
    assert_eq!(registry.mode(Some("real"), Scope::Effective), Ok(Mode::Import));
    let unordered = avro(r#"{"type":"fixed","name":"F","size":2,"z":1,"b":2}"#);
    let how = Registration { normalize: true, id: Some(70), version: Some(9) };
    assert_eq!(registry.register_as("real", &unordered, how), Ok(70));
    let imported = registry.version("real", 9).unwrap();
    assert_eq!(imported.schema.text, r#"{"type":"fixed","name":"F","size":2,"b":2,"z":1}"#);
    assert_eq!(registry.delete_mode(Some("real")), Ok(()));
    assert_eq!(registry.mode(Some("real"), Scope::Effective), Ok(Mode::ReadWrite));
}

#[test]
fn embedded_or_over_the_network_is_the_same() {
    exercise(&EmbeddedRegistry::new());
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(0))));
    exercise(&EmbeddedRegistry::open(&log).unwrap());
    let server = server();
    exercise(&client(&url(&server)));
}

#[test]
fn another_address_is_tried_when_one_is_silent() {
    let server = server();
    let registry = client(&format!("{},{}", nowhere(), url(&server)));
    assert_eq!(registry.register("a", &avro(r#""int""#)), Ok(1));
    assert_eq!(registry.subjects(), Ok(vec!["a".into()]));
    let error = client(&nowhere()).subjects().unwrap_err();
    assert_eq!(error.code, 503);
    assert!(error.message.contains("could not reach the schema registry at http://127.0.0.1"), "{error}");
}

#[test]
fn what_cannot_change_is_asked_once() {
    let server = server();
    let registry = client(&url(&server));
    let id = registry.register("a", &avro(r#""int""#)).unwrap();
    let schema = registry.schema(id).unwrap();
    let version = registry.version("a", 1).unwrap();
    drop(server);
    assert_eq!(registry.register("a", &avro(r#""int""#)), Ok(id));
    assert_eq!(registry.schema(id), Ok(schema));
    assert_eq!(registry.version("a", 1), Ok(version));
    assert_eq!(registry.latest("a").unwrap_err().code, 503, "the newest may change");
}

#[test]
fn a_body_has_a_bound() {
    let server = server();
    let text = format!(r#"{{"type":"fixed","name":"F","size":1,"doc":"{}"}}"#, "x".repeat(1 << 17));
    assert_eq!(client(&url(&server)).register("a", &avro(&text)).unwrap_err().code, 413);
}

#[test]
fn answers_have_a_status_and_a_media_type() {
    let server = server();
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for (head, status, media_type) in [
        ("GET /subjects HTTP/1.1", "200 OK", "application/vnd.schemaregistry.v1+json"),
        ("GET /subjects/a/versions HTTP/1.1", "404 Not Found", "application/vnd.schemaregistry.v1+json"),
        ("GET /schemas/types HTTP/1.1\r\nAccept: application/json", "200 OK", "application/json"),
        ("PATCH / HTTP/1.1", "405 Method Not Allowed", "application/vnd.schemaregistry.v1+json"),
    ] {
        let answer = ask(head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}: {answer}");
        assert!(answer.contains(&format!("content-type: {media_type}\r\n")), "{head}: {answer}");
    }
}

/// Takes one request and answers 401 unless it has this header, and then with a list.
fn guarded(header: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = read_request(&mut stream);
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let (status, body) = if head.contains(&header.to_lowercase()) {
            ("200 OK", "[\"a\"]")
        } else {
            ("401 Unauthorized", r#"{"error_code":40101,"message":"who are you?"}"#)
        };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    address.to_string()
}

#[test]
fn clients_say_who_they_are() {
    let subjects = |properties: &[(&str, &str)]| {
        let config = RegistryClientConfig::from_properties(properties.iter().copied()).unwrap();
        RegistryClient::new(&config).unwrap().subjects()
    };
    let basic = "authorization: basic bWU6cHc=";
    let url = format!("http://{}", guarded(basic));
    let user = ("basic.auth.user.info", "me:pw");
    let source = ("basic.auth.credentials.source", "USER_INFO");
    assert_eq!(subjects(&[("schema.registry.url", &url), source, user]), Ok(vec!["a".into()]));
    let url = format!("http://me:pw@{}", guarded(basic));
    assert_eq!(subjects(&[("schema.registry.url", &url)]), Ok(vec!["a".into()]));
    let url = format!("http://{}", guarded("authorization: bearer token"));
    let token = ("bearer.auth.token", "token");
    assert_eq!(subjects(&[("schema.registry.url", &url), token]), Ok(vec!["a".into()]));
    let url = format!("http://{}", guarded(basic));
    let refused = subjects(&[("schema.registry.url", &url)]).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (40101, "who are you?"));
}

/// A request up to the end of its body.
fn read_request(stream: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "the client went away");
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return request;
        }
    }
}

fn openssl(directory: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An authority, and certificates that it signed: of a server at `localhost` and of a client. `None` without openssl.
fn certificates(directory: &Path) -> Option<impl Fn(&str) -> PathBuf> {
    fs::write(directory.join("server.ext"), "subjectAltName=DNS:localhost").unwrap();
    fs::write(directory.join("client.ext"), "extendedKeyUsage=clientAuth").unwrap();
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let mut commands =
        vec![format!("req -x509 {new_key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority")];
    for name in ["server", "client"] {
        commands.push(format!("req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        commands.push(format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
    }
    if !commands.iter().all(|arguments| openssl(directory, arguments)) {
        return None;
    }
    let directory = directory.to_owned();
    Some(move |name: &str| directory.join(name))
}

/// Speaks TLS in front of a server: takes connections from clients with a certificate of the authority, hands each
/// request on and each answer back.
fn tls_proxy(file: &impl Fn(&str) -> PathBuf, behind: SocketAddr) -> SocketAddr {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let certificate = |name: &str| CertificateDer::from_pem_file(file(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate("server.pem")],
            PrivateKeyDer::from_pem_file(file("server.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // A client without a certificate is refused in the middle of the handshake.
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                continue;
            }
            let request = read_request(&mut stream);
            let request =
                String::from_utf8(request).unwrap().replacen("\r\n", "\r\nConnection: close\r\n", 1);
            let mut inner = TcpStream::connect(behind).unwrap();
            inner.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            inner.read_to_end(&mut answer).unwrap();
            stream.write_all(&answer).unwrap();
            stream.conn.send_close_notify();
            let _gone = stream.flush();
        }
    });
    address
}

#[test]
fn tls_with_an_authority_and_a_client_certificate_of_our_own() {
    let directory = tempfile::tempdir().unwrap();
    let Some(file) = certificates(directory.path()) else {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    };
    let server = server();
    let address = tls_proxy(&file, server.address());
    let url = format!("https://localhost:{}", address.port());
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let all = [
        ("schema.registry.url", url),
        ("schema.registry.ssl.ca.location", text(&ca)),
        ("ssl.certificate.location", text(&certificate)),
        ("ssl.key.location", text(&key)),
    ];
    let client = |count: usize| {
        let config = RegistryClientConfig::from_properties(all[..count].iter().cloned()).unwrap();
        RegistryClient::new(&config).unwrap()
    };
    assert_eq!(client(4).register("a", &avro(r#""int""#)), Ok(1));
    assert_eq!(client(4).subjects(), Ok(vec!["a".into()]));
    assert_eq!(client(2).subjects().unwrap_err().code, 503, "without a certificate of its own");
    assert_eq!(client(1).subjects().unwrap_err().code, 503, "an authority that nobody knows");
    let missing =
        RegistryClientConfig { ca: Some("nowhere.pem".into()), ..RegistryClientConfig::new("https://a") };
    assert!(RegistryClient::new(&missing).unwrap_err().message.contains("nowhere.pem"));
}
