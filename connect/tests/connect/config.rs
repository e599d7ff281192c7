//! Configs that are wrong say what is wrong and what would be right.

use millstream_connect::ConnectorConfig;

use crate::{Place, file_sink, file_source};

#[test]
fn faults_name_the_setting_and_the_closest_right_one() {
    let place = Place::new();
    let file = place.write("a.csv", "id\n1\n");
    let source = || file_source(&file);
    let sink = || file_sink(&file);
    let (_, worker) = place.worker();
    for (config, expected) in [
        (
            source().with("topic.partition", "4"),
            "unknown setting \"topic.partition\": did you mean \"topic.partitions\"?",
        ),
        (
            source().with("tasks.max", "0"),
            "invalid value \"0\" for tasks.max: it takes a whole number of at least 1",
        ),
        (source().with("errors.tolerance", "some"), "it takes one of none, all"),
        (
            source().with("connector.class", "FileSourse"),
            "unknown connector.class \"FileSourse\": it takes one of FileSource, FileStreamSource, FileSink, FileStreamSink: \
             did you mean \"FileSource\"?",
        ),
        (ConnectorConfig::new("c").with("file", "x"), "missing setting \"connector.class\""),
        (
            ConnectorConfig::new("c").with("connector.class", "FileStreamSink").with("file", "x"),
            "missing setting \"topics\": the topics to read",
        ),
        (source().with("topics", "t"), "unknown setting \"topics\": did you mean \"topic\"?"),
        (source().with("value.converter", "JsonConvertor"), "did you mean \"JsonConverter\"?"),
        (
            source().with("value.converter.schemas.enable", "true"),
            "JSON is written without a schema envelope: set it to false",
        ),
        (source().with("format", "xml"), "invalid value \"xml\" for format: it takes one of csv, json"),
        (source().with("file", "data.bin"), "the name \"data.bin\" does not tell it: set csv or json"),
        (source().with("csv.delimiter", "||"), "Delimiter must be a single character or TAB,SPACE"),
        (source().with("file", "a.csv.gz").with("follow", "true"), "a gzipped file does not grow"),
        (
            source().with("producer.override.ack", "1"),
            "unknown producer config \"ack\": did you mean \"acks\"?",
        ),
        (sink().with("schema", "id FLOAT"), "\"FLOAT\" is not a type"),
    ] {
        let error = worker.validate(&config).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n  instead of\n{expected}");
    }
}

#[test]
fn the_class_and_the_converter_have_several_names() {
    let place = Place::new();
    let file = place.write("a.csv", "id\n1\n");
    let (_, worker) = place.worker();
    for class in ["FileSource", "millstream.connect.file.FileSource"] {
        for converter in ["org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "json", "DELIMITED"]
        {
            let config = file_source(&file).with("connector.class", class).with("value.converter", converter);
            worker.validate(&config).expect(converter);
        }
    }
    let stream = ConnectorConfig::new("c")
        .with("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector")
        .with("file", "a.txt")
        .with("topic", "t");
    worker.validate(&stream).expect("Kafka Connect's class name");
}

#[test]
fn configs_are_stored_until_they_are_removed() {
    let place = Place::new();
    let file = place.write("a.csv", "id\n1\n");
    {
        let (_, worker) = place.worker();
        worker.run_to_end(file_source(&file)).expect("runs to its end");
    }
    let (_, worker) = place.worker();
    assert_eq!(worker.connectors().expect("readable"), [file_source(&file)]);
    let (started, failed) = worker.resume().expect("readable");
    assert_eq!((started.len(), failed.len()), (1, 0));
    started[0].wait().expect("nothing is left to read");
    worker.remove("source").expect("it is stored");
    assert_eq!(worker.connectors().expect("readable"), []);
    let error = worker.remove("source").expect_err("it is gone");
    assert_eq!(error.to_string(), "unknown connector \"source\"");
}
