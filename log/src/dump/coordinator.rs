//! Records of `__consumer_offsets` and `__transaction_state` as JSON, in the words of Kafka's message definitions.
//!
//! A key begins with an i16 that says what the record is, a value with an i16 that says how it is written.

use super::schema::{Field, Kind, Message, Value};

/// An internal topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    ConsumerOffsets,
    TransactionState,
}

/// Key and value of a record at `offset`; what is wrong with it in place of the key.
pub(super) fn decode(
    topic: Topic,
    offset: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> (Option<Value>, Option<Value>) {
    match decode_record(topic, offset, key, value) {
        Ok((key, value)) => (Some(key), Some(value)),
        Err(reason) => (Some(Value::Text(reason)), None),
    }
}

fn decode_record(
    topic: Topic,
    offset: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(Value, Value), String> {
    let fail = |reason: &str| format!("Error at offset {offset}, skipping. {reason}");
    let (kind, key) = key.and_then(take_version).ok_or_else(|| fail("the key is missing"))?;
    let Some((key_message, value_message)) = messages(topic, kind) else {
        return Err(format!("Unknown record type {kind} at offset {offset}, skipping."));
    };
    let key = key_message.decode(0, key).map_err(|reason| fail(&format!("the key: {reason}")))?;
    let key = Value::Object(vec![("type", Value::Text(kind.to_string())), ("data", key)]);
    let Some(value) = value else { return Ok((key, Value::Text("<DELETE>".to_owned()))) };
    let (version, value) = take_version(value).ok_or_else(|| fail("the value has no version"))?;
    let mut data =
        value_message.decode(version, value).map_err(|reason| fail(&format!("the value: {reason}")))?;
    if topic == Topic::ConsumerOffsets && kind == GROUP {
        open_members(&mut data);
    }
    let value = Value::Object(vec![("version", Value::Text(version.to_string())), ("data", data)]);
    Ok((key, value))
}

/// Replaces the bytes that members gave each other by what they say, where they are consumers.
fn open_members(group: &mut Value) {
    if group.field_mut("protocolType") != Some(&mut Value::Text("consumer".to_owned())) {
        return;
    }
    let Some(Value::List(members)) = group.field_mut("members") else { return };
    for member in members {
        for (name, message) in [("subscription", &SUBSCRIPTION), ("assignment", &ASSIGNMENT)] {
            let Some(field) = member.field_mut(name) else { continue };
            let Value::Bytes(bytes) = field else { continue };
            let opened = take_version(bytes).and_then(|(version, rest)| message.decode(version, rest).ok());
            if let Some(opened) = opened {
                *field = opened;
            }
        }
    }
}

fn take_version(bytes: &[u8]) -> Option<(i16, &[u8])> {
    let (version, rest) = bytes.split_first_chunk()?;
    Some((i16::from_be_bytes(*version), rest))
}

/// Key type of a classic group.
const GROUP: i16 = 2;

/// How a key of that type, and its value, are written.
fn messages(topic: Topic, kind: i16) -> Option<(&'static Message, &'static Message)> {
    Some(match (topic, kind) {
        (Topic::ConsumerOffsets, 0 | 1) => (&OFFSET_COMMIT_KEY, &OFFSET_COMMIT),
        (Topic::ConsumerOffsets, GROUP) => (&GROUP_KEY, &GROUP_METADATA),
        (Topic::ConsumerOffsets, 3) => (&CONSUMER_GROUP_KEY, &CONSUMER_GROUP),
        (Topic::ConsumerOffsets, 4) => (&CONSUMER_GROUP_KEY, &PARTITION_METADATA),
        (Topic::ConsumerOffsets, 5) => (&MEMBER_KEY, &MEMBER),
        (Topic::ConsumerOffsets, 6) => (&CONSUMER_GROUP_KEY, &TARGET_ASSIGNMENT),
        (Topic::ConsumerOffsets, 7) => (&MEMBER_KEY, &TARGET_ASSIGNMENT_MEMBER),
        (Topic::ConsumerOffsets, 8) => (&MEMBER_KEY, &CURRENT_ASSIGNMENT),
        (Topic::ConsumerOffsets, 16) => (&REGULAR_EXPRESSION_KEY, &REGULAR_EXPRESSION),
        (Topic::TransactionState, 0) => (&TRANSACTION_KEY, &TRANSACTION),
        _ => return None,
    })
}

const fn plain(fields: &'static [Field]) -> Message {
    Message { last_version: 0, flexible_from: i16::MAX, fields }
}

const fn flexible(fields: &'static [Field]) -> Message {
    Message { last_version: 0, flexible_from: 0, fields }
}

static OFFSET_COMMIT_KEY: Message = plain(&[
    Field::new("group", Kind::String),
    Field::new("topic", Kind::String),
    Field::new("partition", Kind::Int32),
]);
static OFFSET_COMMIT: Message = Message {
    last_version: 4,
    flexible_from: 4,
    fields: &[
        Field::new("offset", Kind::Int64),
        Field::new("leaderEpoch", Kind::Int32).versions(3, i16::MAX),
        Field::new("metadata", Kind::String),
        Field::new("commitTimestamp", Kind::Int64),
        Field::new("expireTimestamp", Kind::Int64).versions(1, 1),
        Field::new("topicId", Kind::Uuid).versions(4, i16::MAX).tagged(0),
    ],
};

static GROUP_KEY: Message = plain(&[Field::new("group", Kind::String)]);
static GROUP_METADATA: Message = Message {
    last_version: 4,
    flexible_from: 4,
    fields: &[
        Field::new("protocolType", Kind::String),
        Field::new("generation", Kind::Int32),
        Field::new("protocol", Kind::String).nullable(),
        Field::new("leader", Kind::String).nullable(),
        Field::new("currentStateTimestamp", Kind::Int64).versions(2, i16::MAX),
        Field::new(
            "members",
            Kind::Array(&Kind::Struct(&[
                Field::new("memberId", Kind::String),
                Field::new("groupInstanceId", Kind::String).nullable().versions(3, i16::MAX),
                Field::new("clientId", Kind::String),
                Field::new("clientHost", Kind::String),
                Field::new("rebalanceTimeout", Kind::Int32).versions(1, i16::MAX),
                Field::new("sessionTimeout", Kind::Int32),
                Field::new("subscription", Kind::Bytes),
                Field::new("assignment", Kind::Bytes),
            ])),
        ),
    ],
};

const TOPIC_PARTITIONS: Kind = Kind::Array(&Kind::Struct(&[
    Field::new("topic", Kind::String),
    Field::new("partitions", Kind::Array(&Kind::Int32)),
]));
static SUBSCRIPTION: Message = Message {
    last_version: 3,
    flexible_from: i16::MAX,
    fields: &[
        Field::new("topics", Kind::Array(&Kind::String)),
        Field::new("userData", Kind::Bytes).nullable(),
        Field::new("ownedPartitions", TOPIC_PARTITIONS).versions(1, i16::MAX),
        Field::new("generationId", Kind::Int32).versions(2, i16::MAX),
        Field::new("rackId", Kind::String).nullable().versions(3, i16::MAX),
    ],
};
static ASSIGNMENT: Message = Message {
    last_version: 3,
    flexible_from: i16::MAX,
    fields: &[
        Field::new("assignedPartitions", TOPIC_PARTITIONS),
        Field::new("userData", Kind::Bytes).nullable(),
    ],
};

const GROUP_ID: Field = Field::new("groupId", Kind::String);
static CONSUMER_GROUP_KEY: Message = plain(&[GROUP_ID]);
static CONSUMER_GROUP: Message = flexible(&[
    Field::new("epoch", Kind::Int32),
    Field::new("metadataHash", Kind::Int64).tagged(0),
    Field::new("creationTimeMs", Kind::Int64).tagged(1),
]);
static PARTITION_METADATA: Message = flexible(&[Field::new(
    "topics",
    Kind::Array(&Kind::Struct(&[
        Field::new("topicId", Kind::Uuid),
        Field::new("topicName", Kind::String),
        Field::new("numPartitions", Kind::Int32),
        Field::new(
            "partitionMetadata",
            Kind::Array(&Kind::Struct(&[
                Field::new("partition", Kind::Int32),
                Field::new("racks", Kind::Array(&Kind::String)),
            ])),
        ),
    ])),
)]);

static MEMBER_KEY: Message = plain(&[GROUP_ID, Field::new("memberId", Kind::String)]);
static MEMBER: Message = flexible(&[
    Field::new("instanceId", Kind::String).nullable(),
    Field::new("rackId", Kind::String).nullable(),
    Field::new("clientId", Kind::String),
    Field::new("clientHost", Kind::String),
    Field::new("subscribedTopicNames", Kind::Array(&Kind::String)),
    Field::new("subscribedTopicRegex", Kind::String).nullable(),
    Field::new("rebalanceTimeoutMs", Kind::Int32),
    Field::new("serverAssignor", Kind::String).nullable(),
    Field::new(
        "classicMemberMetadata",
        Kind::Struct(&[
            Field::new("sessionTimeoutMs", Kind::Int32),
            Field::new(
                "supportedProtocols",
                Kind::Array(&Kind::Struct(&[
                    Field::new("name", Kind::String),
                    Field::new("metadata", Kind::Bytes),
                ])),
            ),
        ]),
    )
    .nullable()
    .tagged(0),
]);

const ASSIGNED: Kind = Kind::Array(&Kind::Struct(&[
    Field::new("topicId", Kind::Uuid),
    Field::new("partitions", Kind::Array(&Kind::Int32)),
    Field::new("assignmentEpochs", Kind::Array(&Kind::Int32)).nullable().tagged(0),
]));
static TARGET_ASSIGNMENT: Message = flexible(&[
    Field::new("assignmentEpoch", Kind::Int32),
    Field::new("assignmentTimestamp", Kind::Int64).tagged(0),
]);
static TARGET_ASSIGNMENT_MEMBER: Message = flexible(&[Field::new("topicPartitions", ASSIGNED)]);
static CURRENT_ASSIGNMENT: Message = flexible(&[
    Field::new("memberEpoch", Kind::Int32),
    Field::new("previousMemberEpoch", Kind::Int32),
    Field::new("state", Kind::Int8),
    Field::new("assignedPartitions", ASSIGNED),
    Field::new("partitionsPendingRevocation", ASSIGNED),
]);

static REGULAR_EXPRESSION_KEY: Message = plain(&[GROUP_ID, Field::new("regularExpression", Kind::String)]);
static REGULAR_EXPRESSION: Message = flexible(&[
    Field::new("topics", Kind::Array(&Kind::String)),
    Field::new("version", Kind::Int64),
    Field::new("timestamp", Kind::Int64),
]);

static TRANSACTION_KEY: Message = plain(&[Field::new("transactionalId", Kind::String)]);
static TRANSACTION: Message = Message {
    last_version: 1,
    flexible_from: 1,
    fields: &[
        Field::new("producerId", Kind::Int64),
        Field::new("previousProducerId", Kind::Int64).tagged(0),
        Field::new("nextProducerId", Kind::Int64).tagged(1),
        Field::new("producerEpoch", Kind::Int16),
        Field::new("transactionTimeoutMs", Kind::Int32),
        Field::new("transactionStatus", Kind::Int8),
        Field::new(
            "transactionPartitions",
            Kind::Array(&Kind::Struct(&[
                Field::new("topic", Kind::String),
                Field::new("partitionIds", Kind::Array(&Kind::Int32)),
            ])),
        )
        .nullable(),
        Field::new("transactionLastUpdateTimestampMs", Kind::Int64),
        Field::new("transactionStartTimestampMs", Kind::Int64),
        Field::new("clientTransactionVersion", Kind::Int16).tagged(2),
    ],
};
