//! The clouds that the documents distinguish.
//!
//! In:  the words of rule and site files.
//! Out: a cloud, or a set of clouds.

use std::fmt;

/// One of Microsoft's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Azure.
    Public,
    /// Azure Government.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

impl Cloud {
    /// All clouds, in the order of output.
    pub const ALL: [Cloud; 3] = [Cloud::Public, Cloud::UsGovernment, Cloud::China];

    /// The word of the site file and of rule files.
    pub const fn word(self) -> &'static str {
        match self {
            Cloud::Public => "public",
            Cloud::UsGovernment => "us-government",
            Cloud::China => "china",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of clouds. Empty if a row names no cloud, as in the internal port tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Clouds(u8);

impl Clouds {
    /// The empty set.
    pub const NONE: Clouds = Clouds(0);
    /// Every cloud.
    pub const EVERY: Clouds = Clouds(0b111);

    /// A set of one cloud.
    pub const fn of(cloud: Cloud) -> Clouds {
        Clouds(1 << cloud as u8)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: Clouds) -> Clouds {
        Clouds(self.0 | other.0)
    }

    /// True if `cloud` is in the set.
    pub const fn contains(self, cloud: Cloud) -> bool {
        self.0 & Clouds::of(cloud).0 != 0
    }

    /// True if the sets have a cloud in common.
    pub const fn intersects(self, other: Clouds) -> bool {
        self.0 & other.0 != 0
    }

    /// True for the empty set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The clouds of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Cloud> {
        Cloud::ALL.into_iter().filter(move |cloud| self.contains(*cloud))
    }
}

impl fmt::Display for Clouds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cloud) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(";")?;
            }
            f.write_str(cloud.word())?;
        }
        Ok(())
    }
}
