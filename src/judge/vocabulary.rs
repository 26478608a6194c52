//! The words of the columns that hold a verdict.

/// Declares the words of a column.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The word in the column.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Verdict on a flow's destination, from best to worst.
    DestinationVerdict {
        /// A documented row names it.
        Documented => "documented",
        /// Only a wildcard names it, and its document warns that the wildcard is too broad.
        DocumentedBroad => "documented-broad",
        /// The site's own exception allows it.
        SiteApproved => "site-approved",
        /// It has a name, and no row names it.
        Unexpected => "unexpected",
        /// It has no name and no known address.
        Unidentified => "unidentified",
    }
}

words! {
    /// Verdict on a flow's port, from best to worst.
    PortVerdict {
        /// 443.
        Https => "443",
        /// Another port that the row gives.
        Documented => "documented",
        /// Any other port.
        Not443 => "not-443",
    }
}

words! {
    /// Whether a flow succeeded, as far as the capture shows.
    Outcome {
        /// The server answered.
        Ok => "ok",
        /// Something on the path seems to have blocked it.
        BlockedLooking => "blocked-looking",
        /// The capture does not show enough.
        Inconclusive => "inconclusive",
    }
}

words! {
    /// Confidence in a mechanism or a finding, in ascending order.
    Confidence {
        /// One sign.
        Weak => "weak",
        /// Several signs, or a repeated one.
        Strong => "strong",
        /// A device on the path reported it.
        Certain => "certain",
    }
}

words! {
    /// How much a finding matters, in ascending order.
    Severity {
        /// For information.
        Info => "info",
        /// Should be looked at.
        Low => "low",
        /// Should be changed.
        Medium => "medium",
        /// Breaks the service or violates a documented requirement.
        High => "high",
    }
}

words! {
    /// Whether a documented endpoint that the site needs was reached.
    RequirementState {
        /// Every attempt with a known outcome succeeded.
        Reached => "reached",
        /// Every attempt with a known outcome looks blocked.
        Blocked => "blocked",
        /// Some attempts succeeded, and others look blocked.
        PartlyBlocked => "partly-blocked",
        /// There was no attempt with a known outcome.
        NotObserved => "not-observed",
    }
}

words! {
    /// How a problem of a live run is now.
    ProblemState {
        /// It occurred lately, and nothing shows that it is over.
        Ongoing => "ongoing",
        /// The same host has reached the same destination since.
        Recovered => "recovered",
        /// It did not occur lately, and nothing shows that it is over.
        NotSeenAgain => "not-seen-again",
    }
}

words! {
    /// What has changed about a problem of a live run.
    ProblemChange {
        /// It occurred for the first time.
        Began => "began",
        /// It had recovered or was not seen again, and occurs again.
        BeganAgain => "began-again",
        /// The same host reached the same destination again.
        Recovered => "recovered",
        /// It is ongoing for another hour.
        Lasts => "lasts",
    }
}

words! {
    /// What the service tags say of the address of a documented name.
    AddressEvidence {
        /// The address is in a tag that belongs to the name's rows.
        RowTag => "row-tag",
        /// It is in other tags only.
        OtherTag => "other-tag",
        /// It is in no tag.
        NoTag => "no-tag",
    }
}
