//! Kafka's error codes, as they stand in every answer on the wire.

use std::fmt;

macro_rules! error_codes {
    ($($number:literal $variant:ident $name:ident $kind:ident $doc:literal,)*) => {
        /// The number and name under which Kafka's protocol knows an error.
        ///
        /// In-process and remote clients decide by the same codes. The list is that of Apache Kafka 4
        /// (`org.apache.kafka.common.protocol.Errors`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl ErrorCode {
            /// All codes, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Kafka's name in capitals, such as `OFFSET_OUT_OF_RANGE`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// Whether Kafka's clients try the same request again.
            pub fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => error_codes!(@$kind),)*
                }
            }
        }
    };
    (@retriable) => { true };
    (@final) => { false };
}

error_codes! {
    -1 UnknownServerError UNKNOWN_SERVER_ERROR final "An error without a number of its own.",
    0 None NONE final "No error.",
    1 OffsetOutOfRange OFFSET_OUT_OF_RANGE final "An offset outside of the partition.",
    2 CorruptMessage CORRUPT_MESSAGE retriable "Bytes whose checksum or shape is wrong.",
    3 UnknownTopicOrPartition UNKNOWN_TOPIC_OR_PARTITION retriable "A topic or partition that does not exist.",
    4 InvalidFetchSize INVALID_FETCH_SIZE final "A fetch of an impossible size.",
    5 LeaderNotAvailable LEADER_NOT_AVAILABLE retriable "A partition whose leader is being elected.",
    6 NotLeaderOrFollower NOT_LEADER_OR_FOLLOWER retriable "A broker without that partition.",
    7 RequestTimedOut REQUEST_TIMED_OUT retriable "A request that was not answered in time.",
    8 BrokerNotAvailable BROKER_NOT_AVAILABLE final "A broker that cannot be reached.",
    9 ReplicaNotAvailable REPLICA_NOT_AVAILABLE retriable "A replica that cannot be reached.",
    10 MessageTooLarge MESSAGE_TOO_LARGE final "A batch larger than the topic takes.",
    11 StaleControllerEpoch STALE_CONTROLLER_EPOCH final "A controller that was replaced.",
    12 OffsetMetadataTooLarge OFFSET_METADATA_TOO_LARGE final "Too much text with a committed offset.",
    13 NetworkException NETWORK_EXCEPTION retriable "A connection that broke.",
    14 CoordinatorLoadInProgress COORDINATOR_LOAD_IN_PROGRESS retriable "A coordinator that still reads its state.",
    15 CoordinatorNotAvailable COORDINATOR_NOT_AVAILABLE retriable "A coordinator that cannot answer now.",
    16 NotCoordinator NOT_COORDINATOR retriable "A broker that does not coordinate this id.",
    17 InvalidTopicException INVALID_TOPIC_EXCEPTION final "A topic name that is not allowed, or a topic that clients may not use so.",
    18 RecordListTooLarge RECORD_LIST_TOO_LARGE final "A batch larger than a segment.",
    19 NotEnoughReplicas NOT_ENOUGH_REPLICAS retriable "Fewer replicas in sync than asked for.",
    20 NotEnoughReplicasAfterAppend NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable "Fewer replicas in sync than asked for, after the append.",
    21 InvalidRequiredAcks INVALID_REQUIRED_ACKS final "Acks other than 0, 1 and all.",
    22 IllegalGeneration ILLEGAL_GENERATION final "A generation of the group that has passed.",
    23 InconsistentGroupProtocol INCONSISTENT_GROUP_PROTOCOL final "A member without an assignor in common with its group.",
    24 InvalidGroupId INVALID_GROUP_ID final "A group id that is not allowed.",
    25 UnknownMemberId UNKNOWN_MEMBER_ID final "A member that its group does not know.",
    26 InvalidSessionTimeout INVALID_SESSION_TIMEOUT final "A session timeout outside of the allowed range.",
    27 RebalanceInProgress REBALANCE_IN_PROGRESS final "A group whose members have to join again.",
    28 InvalidCommitOffsetSize INVALID_COMMIT_OFFSET_SIZE final "A commit too large to be written.",
    29 TopicAuthorizationFailed TOPIC_AUTHORIZATION_FAILED final "A topic that this user may not use so.",
    30 GroupAuthorizationFailed GROUP_AUTHORIZATION_FAILED final "A group that this user may not use so.",
    31 ClusterAuthorizationFailed CLUSTER_AUTHORIZATION_FAILED final "Something that this user may not do.",
    32 InvalidTimestamp INVALID_TIMESTAMP final "A timestamp outside of the allowed range.",
    33 UnsupportedSaslMechanism UNSUPPORTED_SASL_MECHANISM final "A login mechanism that is not offered.",
    34 IllegalSaslState ILLEGAL_SASL_STATE final "A login message out of turn.",
    35 UnsupportedVersion UNSUPPORTED_VERSION final "A version of a request that is not spoken.",
    36 TopicAlreadyExists TOPIC_ALREADY_EXISTS final "A topic that exists already.",
    37 InvalidPartitions INVALID_PARTITIONS final "A partition count that is not allowed.",
    38 InvalidReplicationFactor INVALID_REPLICATION_FACTOR final "A replication factor that is not allowed.",
    39 InvalidReplicaAssignment INVALID_REPLICA_ASSIGNMENT final "An assignment of replicas that is not allowed.",
    40 InvalidConfig INVALID_CONFIG final "An unknown setting, or a value it does not take.",
    41 NotController NOT_CONTROLLER retriable "A broker that is not the controller.",
    42 InvalidRequest INVALID_REQUEST final "A request that contradicts itself.",
    43 UnsupportedForMessageFormat UNSUPPORTED_FOR_MESSAGE_FORMAT final "A record format without what was asked.",
    44 PolicyViolation POLICY_VIOLATION final "Something that a rule of this log forbids.",
    45 OutOfOrderSequenceNumber OUT_OF_ORDER_SEQUENCE_NUMBER final "A producer's batch that does not follow its last one.",
    46 DuplicateSequenceNumber DUPLICATE_SEQUENCE_NUMBER final "A producer's batch that is there already.",
    47 InvalidProducerEpoch INVALID_PRODUCER_EPOCH final "A producer's batch under an epoch that has passed.",
    48 InvalidTxnState INVALID_TXN_STATE final "A call that does not fit the state of the transaction.",
    49 InvalidProducerIdMapping INVALID_PRODUCER_ID_MAPPING final "A producer id that is not the transactional id's.",
    50 InvalidTransactionTimeout INVALID_TRANSACTION_TIMEOUT final "A transaction timeout outside of the allowed range.",
    51 ConcurrentTransactions CONCURRENT_TRANSACTIONS retriable "A transactional id whose last transaction is still being ended.",
    52 TransactionCoordinatorFenced TRANSACTION_COORDINATOR_FENCED final "A coordinator that was replaced.",
    53 TransactionalIdAuthorizationFailed TRANSACTIONAL_ID_AUTHORIZATION_FAILED final "A transactional id that this user may not use.",
    54 SecurityDisabled SECURITY_DISABLED final "A security feature that is switched off.",
    55 OperationNotAttempted OPERATION_NOT_ATTEMPTED final "A part of a request that was not tried, since another part failed.",
    56 KafkaStorageError KAFKA_STORAGE_ERROR retriable "A disk that failed or is full.",
    57 LogDirNotFound LOG_DIR_NOT_FOUND final "A log directory that does not exist.",
    58 SaslAuthenticationFailed SASL_AUTHENTICATION_FAILED final "A login that was refused.",
    59 UnknownProducerId UNKNOWN_PRODUCER_ID final "A producer whose state is gone.",
    60 ReassignmentInProgress REASSIGNMENT_IN_PROGRESS final "A partition that is being moved.",
    61 DelegationTokenAuthDisabled DELEGATION_TOKEN_AUTH_DISABLED final "Delegation tokens are switched off.",
    62 DelegationTokenNotFound DELEGATION_TOKEN_NOT_FOUND final "A delegation token that does not exist.",
    63 DelegationTokenOwnerMismatch DELEGATION_TOKEN_OWNER_MISMATCH final "A delegation token of somebody else.",
    64 DelegationTokenRequestNotAllowed DELEGATION_TOKEN_REQUEST_NOT_ALLOWED final "Delegation tokens over an unsafe connection.",
    65 DelegationTokenAuthorizationFailed DELEGATION_TOKEN_AUTHORIZATION_FAILED final "A delegation token that this user may not use.",
    66 DelegationTokenExpired DELEGATION_TOKEN_EXPIRED final "A delegation token that has expired.",
    67 InvalidPrincipalType INVALID_PRINCIPAL_TYPE final "A kind of principal that does not exist.",
    68 NonEmptyGroup NON_EMPTY_GROUP final "A group that still has members.",
    69 GroupIdNotFound GROUP_ID_NOT_FOUND final "A group that does not exist.",
    70 FetchSessionIdNotFound FETCH_SESSION_ID_NOT_FOUND retriable "A fetch session that is gone.",
    71 InvalidFetchSessionEpoch INVALID_FETCH_SESSION_EPOCH retriable "A fetch session's request out of turn.",
    72 ListenerNotFound LISTENER_NOT_FOUND retriable "A leader without the listener asked for.",
    73 TopicDeletionDisabled TOPIC_DELETION_DISABLED final "Topics cannot be deleted here.",
    74 FencedLeaderEpoch FENCED_LEADER_EPOCH retriable "A leader epoch that has passed.",
    75 UnknownLeaderEpoch UNKNOWN_LEADER_EPOCH retriable "A leader epoch that is not known yet.",
    76 UnsupportedCompressionType UNSUPPORTED_COMPRESSION_TYPE final "A codec that is not supported.",
    77 StaleBrokerEpoch STALE_BROKER_EPOCH final "A broker that was replaced.",
    78 OffsetNotAvailable OFFSET_NOT_AVAILABLE retriable "An end offset that is not known yet.",
    79 MemberIdRequired MEMBER_ID_REQUIRED final "A member that has to join again under the id it was given.",
    80 PreferredLeaderNotAvailable PREFERRED_LEADER_NOT_AVAILABLE retriable "A preferred leader that cannot be reached.",
    81 GroupMaxSizeReached GROUP_MAX_SIZE_REACHED final "A group that takes no more members.",
    82 FencedInstanceId FENCED_INSTANCE_ID final "A static member that another one has replaced.",
    83 EligibleLeadersNotAvailable ELIGIBLE_LEADERS_NOT_AVAILABLE retriable "A partition without a possible leader.",
    84 ElectionNotNeeded ELECTION_NOT_NEEDED retriable "A partition that has its leader already.",
    85 NoReassignmentInProgress NO_REASSIGNMENT_IN_PROGRESS final "A partition that is not being moved.",
    86 GroupSubscribedToTopic GROUP_SUBSCRIBED_TO_TOPIC final "Offsets of a topic that the group reads.",
    87 InvalidRecord INVALID_RECORD final "A record that its topic does not take.",
    88 UnstableOffsetCommit UNSTABLE_OFFSET_COMMIT retriable "An offset whose transaction has not ended.",
    89 ThrottlingQuotaExceeded THROTTLING_QUOTA_EXCEEDED retriable "A quota that is used up.",
    90 ProducerFenced PRODUCER_FENCED final "A producer that a newer one has replaced.",
    91 ResourceNotFound RESOURCE_NOT_FOUND final "A resource that does not exist.",
    92 DuplicateResource DUPLICATE_RESOURCE final "A resource named twice.",
    93 UnacceptableCredential UNACCEPTABLE_CREDENTIAL final "A credential that is not allowed.",
    94 InconsistentVoterSet INCONSISTENT_VOTER_SET final "A voter set that does not match.",
    95 InvalidUpdateVersion INVALID_UPDATE_VERSION final "An update of a version that has passed.",
    96 FeatureUpdateFailed FEATURE_UPDATE_FAILED final "A feature that could not be changed.",
    97 PrincipalDeserializationFailure PRINCIPAL_DESERIALIZATION_FAILURE final "A forwarded principal that could not be read.",
    98 SnapshotNotFound SNAPSHOT_NOT_FOUND final "A snapshot that does not exist.",
    99 PositionOutOfRange POSITION_OUT_OF_RANGE final "A position outside of the snapshot.",
    100 UnknownTopicId UNKNOWN_TOPIC_ID retriable "A topic id that does not exist.",
    101 DuplicateBrokerRegistration DUPLICATE_BROKER_REGISTRATION final "A broker that is registered already.",
    102 BrokerIdNotRegistered BROKER_ID_NOT_REGISTERED final "A broker that is not registered.",
    103 InconsistentTopicId INCONSISTENT_TOPIC_ID retriable "A topic id that is not the partition's.",
    104 InconsistentClusterId INCONSISTENT_CLUSTER_ID final "A cluster id that is not this one's.",
    105 TransactionalIdNotFound TRANSACTIONAL_ID_NOT_FOUND final "A transactional id that does not exist.",
    106 FetchSessionTopicIdError FETCH_SESSION_TOPIC_ID_ERROR retriable "A fetch session that mixes names and ids.",
    107 IneligibleReplica INELIGIBLE_REPLICA final "A replica that cannot be in sync.",
    108 NewLeaderElected NEW_LEADER_ELECTED final "A leader that was replaced by this request.",
    109 OffsetMovedToTieredStorage OFFSET_MOVED_TO_TIERED_STORAGE final "An offset that is in remote storage.",
    110 FencedMemberEpoch FENCED_MEMBER_EPOCH final "A member epoch that has passed.",
    111 UnreleasedInstanceId UNRELEASED_INSTANCE_ID final "A static member that is still in use.",
    112 UnsupportedAssignor UNSUPPORTED_ASSIGNOR final "An assignor that the coordinator does not have.",
    113 StaleMemberEpoch STALE_MEMBER_EPOCH final "A member epoch that is behind.",
    114 MismatchedEndpointType MISMATCHED_ENDPOINT_TYPE final "A request for the other kind of endpoint.",
    115 UnsupportedEndpointType UNSUPPORTED_ENDPOINT_TYPE final "An endpoint of an unknown kind.",
    116 UnknownControllerId UNKNOWN_CONTROLLER_ID final "A controller that is not known.",
    117 UnknownSubscriptionId UNKNOWN_SUBSCRIPTION_ID final "A telemetry subscription that has passed.",
    118 TelemetryTooLarge TELEMETRY_TOO_LARGE final "Telemetry larger than is taken.",
    119 InvalidRegistration INVALID_REGISTRATION final "A registration that contradicts itself.",
    120 TransactionAbortable TRANSACTION_ABORTABLE final "A transaction that can only be aborted.",
    121 InvalidRecordState INVALID_RECORD_STATE final "A shared record in another state.",
    122 ShareSessionNotFound SHARE_SESSION_NOT_FOUND retriable "A share session that is gone.",
    123 InvalidShareSessionEpoch INVALID_SHARE_SESSION_EPOCH retriable "A share session's request out of turn.",
    124 FencedStateEpoch FENCED_STATE_EPOCH final "A share state epoch that has passed.",
    125 InvalidVoterKey INVALID_VOTER_KEY final "A voter key that does not match.",
    126 DuplicateVoter DUPLICATE_VOTER final "A voter that is in the set already.",
    127 VoterNotFound VOTER_NOT_FOUND final "A voter that is not in the set.",
    128 InvalidRegularExpression INVALID_REGULAR_EXPRESSION final "A regular expression that cannot be read.",
    129 RebootstrapRequired REBOOTSTRAP_REQUIRED final "A client that has to start from its bootstrap servers.",
    130 StreamsInvalidTopology STREAMS_INVALID_TOPOLOGY final "A topology that contradicts itself.",
    131 StreamsInvalidTopologyEpoch STREAMS_INVALID_TOPOLOGY_EPOCH final "A topology epoch that does not match.",
    132 StreamsTopologyFenced STREAMS_TOPOLOGY_FENCED final "A topology that has passed.",
    133 ShareSessionLimitReached SHARE_SESSION_LIMIT_REACHED final "Share sessions are used up.",
}

impl ErrorCode {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The code with this number; numbers of later Kafka versions are [`ErrorCode::UnknownServerError`], as for
    /// Kafka's own clients.
    pub fn from_number(number: i16) -> Self {
        let at = usize::try_from(i32::from(number) + 1).ok();
        at.and_then(|at| Self::ALL.get(at)).copied().unwrap_or(Self::UnknownServerError)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_kafkas() {
        for (number, name, is_retriable) in [
            (-1, "UNKNOWN_SERVER_ERROR", false),
            (0, "NONE", false),
            (3, "UNKNOWN_TOPIC_OR_PARTITION", true),
            (10, "MESSAGE_TOO_LARGE", false),
            (22, "ILLEGAL_GENERATION", false),
            (45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false),
            (51, "CONCURRENT_TRANSACTIONS", true),
            (56, "KAFKA_STORAGE_ERROR", true),
            (79, "MEMBER_ID_REQUIRED", false),
            (88, "UNSTABLE_OFFSET_COMMIT", true),
            (90, "PRODUCER_FENCED", false),
            (120, "TRANSACTION_ABORTABLE", false),
            (133, "SHARE_SESSION_LIMIT_REACHED", false),
        ] {
            let code = ErrorCode::from_number(number);
            assert_eq!((code.number(), code.name(), code.is_retriable()), (number, name, is_retriable));
        }
        for number in [-2, 134, i16::MIN, i16::MAX] {
            assert_eq!(ErrorCode::from_number(number), ErrorCode::UnknownServerError);
        }
    }

    #[test]
    fn the_list_has_no_gaps() {
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(i32::from(code.number()), at as i32 - 1, "{code}");
        }
    }
}
