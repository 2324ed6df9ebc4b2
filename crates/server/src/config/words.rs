//! Settings that are one of a few words.

use moorline_core::delegation::AtParentEnd;
use moorline_core::record::Overflow;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal;)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl $name {
            /// The word as it is configured.
            pub fn as_str(self) -> &'static str {
                self.word()
            }
        }
    )*};
}

/// A closed set of words.
pub(super) trait Word: Copy + Ord + 'static {
    /// Every word, in the order in which they are documented.
    const ALL: &'static [Self];

    /// The word as it is configured.
    fn word(self) -> &'static str;

    /// The value that is written like this.
    fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == text)
    }

    /// Every word as text.
    fn words() -> Vec<&'static str> {
        Self::ALL.iter().map(|value| value.word()).collect()
    }
}

words! {
    /// What a reply of the journal survives.
    Durability {
        /// The end of the gateway process, however it comes.
        Process = "process";
        /// Loss of power: an fsync before every reply.
        Power = "power";
    }

    /// Which back ends gateway sessions can be with.
    Backend {
        /// A plant that is simulated.
        Simulated = "simulated";
        /// A server that speaks OPC UA.
        OpcUa = "opcua";
    }

    /// What becomes of a subscriber of a gateway session that does not keep up.
    SubscriberPolicy {
        /// It reads on from the journal.
        CatchUp = "catch_up";
        /// Its stream ends.
        DisconnectSubscriber = "disconnect_subscriber";
        /// Its stream ends, and its session too if that is for one subscriber only.
        FailFast = "fail_fast";
    }

    /// Which store holds the journal.
    StoreKind {
        /// An SQLite database in the data directory.
        Sqlite = "sqlite";
        /// Memory: nothing survives the process.
        Memory = "memory";
    }

    /// Whether clients must show a certificate.
    ClientAuth {
        /// They may; without one, their token says who they are.
        Optional = "optional";
        /// They must; a connection without one is refused.
        Required = "required";
    }

    /// How a token may be signed (RFC 7518, 3.1, and RFC 8037): with a key whose public half checks it.
    JwtAlgorithm {
        /// RSA, PKCS #1 v1.5, with SHA-256.
        Rs256 = "RS256";
        /// RSA, PKCS #1 v1.5, with SHA-384.
        Rs384 = "RS384";
        /// RSA, PKCS #1 v1.5, with SHA-512.
        Rs512 = "RS512";
        /// RSA, PSS, with SHA-256.
        Ps256 = "PS256";
        /// RSA, PSS, with SHA-384.
        Ps384 = "PS384";
        /// RSA, PSS, with SHA-512.
        Ps512 = "PS512";
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256";
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384";
        /// Ed25519.
        Ed = "EdDSA";
    }

    /// What a token may do that has no scope of ours.
    DefaultScopes {
        /// Nothing: it lets nobody in.
        Nothing = "none";
        /// Submit jobs, and observe and cancel its principal's own.
        Jobs = "jobs";
    }

    /// What becomes of events that a client does not take in time.
    OverflowPolicy {
        /// They wait in the journal.
        CatchUp = "catch_up";
        /// The oldest are left out, and the client is told.
        Skip = "skip";
        /// Of progress and of each metric only the latest is sent, and the client is told.
        Latest = "latest";
        /// The connection is closed; the session can be resumed.
        Disconnect = "disconnect";
    }

    /// What becomes of a child when its parent ends.
    ParentEndPolicy {
        /// It is cancelled.
        Cancel = "cancel";
        /// It goes on.
        Detach = "detach";
    }

    /// How log lines are written.
    LogFormat {
        /// For a person at a terminal.
        Human = "human";
        /// One JSON object per line.
        Json = "json";
    }

    /// How spans travel to a collector.
    OtlpProtocol {
        /// Protobuf over HTTP.
        HttpProtobuf = "http/protobuf";
        /// gRPC.
        Grpc = "grpc";
    }

    /// An agent that is shipped with the gateway.
    BuiltinAgent {
        /// Counts what a directory tree holds.
        Census = "census";
        /// Returns its input.
        Echo = "echo";
        /// Emits events to measure with.
        Load = "load";
    }
}

impl JwtAlgorithm {
    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::find(name)
    }
}

impl From<ParentEndPolicy> for AtParentEnd {
    fn from(policy: ParentEndPolicy) -> Self {
        match policy {
            ParentEndPolicy::Cancel => Self::Cancel,
            ParentEndPolicy::Detach => Self::Detach,
        }
    }
}

impl From<OverflowPolicy> for Overflow {
    fn from(policy: OverflowPolicy) -> Self {
        match policy {
            OverflowPolicy::CatchUp => Self::CatchUp,
            OverflowPolicy::Skip => Self::Skip,
            OverflowPolicy::Latest => Self::Latest,
            OverflowPolicy::Disconnect => Self::Disconnect,
        }
    }
}
