//! The clouds that the documents tell apart.

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
    /// All of them, in the order in which rows name them.
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

/// A set of clouds. Empty where a row says nothing about clouds, as the internal port tables do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Clouds(u8);

impl Clouds {
    /// No cloud in particular.
    pub const NONE: Clouds = Clouds(0);
    /// Every cloud.
    pub const EVERY: Clouds = Clouds(0b111);

    /// A set of one.
    pub const fn of(cloud: Cloud) -> Clouds {
        Clouds(1 << cloud as u8)
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Clouds) -> Clouds {
        Clouds(self.0 | other.0)
    }

    /// True when `cloud` is in the set.
    pub const fn holds(self, cloud: Cloud) -> bool {
        self.0 & Clouds::of(cloud).0 != 0
    }

    /// True when the sets share a cloud.
    pub const fn meets(self, other: Clouds) -> bool {
        self.0 & other.0 != 0
    }

    /// True for no cloud in particular.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The clouds of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Cloud> {
        Cloud::ALL.into_iter().filter(move |cloud| self.holds(*cloud))
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
