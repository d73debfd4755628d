//! What the lifecycle of an owner orders, to be performed by `perform.rs`.

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ReadConfig,
    /// Match and journal lines as a guest of the state directory.
    Enter,
    /// Make the tables, so that a dashboard can be made before the first row.
    MakeTables,
    /// Claim the state directory and recover the state.
    Claim,
    /// Switch the engine on.
    Own,
    /// Write what an earlier process has left over, with the state that was claimed.
    WriteLeftOver,
    /// Save the state with which that was done, and give the directory back.
    GiveBack,
    /// Give the directory back at once.
    Abandon,
    LookForOthers,
    /// Pass lines through uncounted from now on.
    BecomePipe(PipeReason),
    Checkpoint,
    LookAtJournal,
    Flush(FlushOrder),
    /// Write `status.json`, unless another process owns the state directory.
    WriteStatus,
    /// Look whether the configuration was edited.
    LookAtConfig,
    LookForRequests,
    /// Make everything due that the state holds.
    Resend,
    Report,
    /// Say what comes while no line matches.
    SayNothingMatched,
    StartFlusher,
    /// What an action that has panicked took out is not saved: the next checkpoint is complete.
    SaveAllNext,
    /// Save what could not be recovered from the journal if the process is cut off.
    SaveForTheEnd,
    SyncJournal,
    /// The last flush was not done in time: it writes no more, and this is said.
    CutFlushShort,
    /// The state machine has ended.
    Finish,
}

/// Why lines pass through uncounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeReason {
    OwnedByAnother,
    Foreign,
    OnlyTests,
}

/// Which flush is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushOrder {
    /// Rows of running days, too.
    pub running: bool,
    /// It is the last one before the process ends.
    pub is_last: bool,
    /// Delete what is older than the retention afterwards.
    pub purge: bool,
    /// Try rows at once that the sink has refused.
    pub retry_refused: bool,
}
