/** What users import. Nothing is defined here. */
export type * from './backend/backend.ts';
export type * from './backend/filter.ts';
export { type OpenBackendOptions, openBackend } from './backend/open.ts';
export type * from './backend/records.ts';
export type * from './backend/schedule.ts';
export type {
  EndedState,
  Keep,
  KeyFailure,
  KeySettings,
  QueueSettings,
  Rate,
  SettingsChange,
} from './backend/settings.ts';
export {
  type InboxConnection,
  type SqliteInbox,
  type SqliteInboxOptions,
  sqliteInbox,
} from './backend/sqlite/inbox.ts';
export { Client, type ClientOptions, type ScheduleOptions } from './client/client.ts';
export type { EnqueueDraft } from './client/draft.ts';
export type { EnqueueOptions } from './client/enqueue-options.ts';
export type { EventsOptions, MissedEvents } from './client/event-stream.ts';
export type { JobHandle, JobUpdate } from './client/handle.ts';
export type { Inbox } from './client/inbox.ts';
export {
  type ActOptions,
  type FindOptions,
  type Found,
  Inspector,
  type InspectorOptions,
  type RetryOptions,
} from './client/inspector.ts';
export type { EnqueueMiddleware } from './client/middleware.ts';
export type { WaitOptions } from './client/results.ts';
export type { JobView } from './client/view.ts';
export { formatFilter, parseFilter } from './client/words.ts';
export { type Clock, systemClock, VirtualClock } from './clock.ts';
export { type ErrorCode, type ErrorFields, isError, MillraceError } from './errors.ts';
export { FrontDoor } from './http/door.ts';
export type { Metric } from './http/metrics.ts';
export type { FrontDoorOptions } from './http/options.ts';
export { type Backoff, type ExponentialOptions, exponential, fixed, polynomial } from './job/backoff.ts';
export { type Carried, type Carrier, type Carry, type CarryOptions, carry } from './job/carry.ts';
export { type Codec, json } from './job/codec.ts';
export { type CompressedOptions, compressed } from './job/compressed.ts';
export { cancel, discard, snooze } from './job/control.ts';
export {
  type BatchHandler,
  type BatchItem,
  defineJob,
  type ItemResult,
  type JobContext,
  type JobDefinition,
  type JobOptions,
  moduleOf,
  type PayloadOf,
  type ResultOf,
  type ThreadBody,
  type ThreadJobContext,
  type ThreadModule,
} from './job/job.ts';
export { losslessJson } from './job/lossless-json.ts';
export type { CronRule, IntervalRule, RuleBounds, ScheduleRule } from './job/rule.ts';
export type { StandardSchema } from './job/schema.ts';
export type { JobState } from './job/state.ts';
export { currentTrace, type Trace, traceContext, withTrace } from './job/trace.ts';
export type { UniqueOptions, UniqueRule } from './job/unique.ts';
export { type WorkerBody, type WorkerClassOptions, workerClass } from './job/worker-class.ts';
export { Channel, type Received } from './pool/channel.ts';
export { Dispatcher, type DispatcherOptions, LATER, type Line } from './pool/dispatcher.ts';
export type { PoolEvents, TaskEvent } from './pool/events.ts';
export type { AimdOptions } from './pool/limits/aimd.ts';
export type { ArcOptions } from './pool/limits/arc.ts';
export type { Gradient2Options } from './pool/limits/gradient2.ts';
export type { LimitOptions } from './pool/limits/level.ts';
export type { Limit, Sample } from './pool/limits/limit.ts';
export { limits } from './pool/limits/limits.ts';
export {
  type RateLimit,
  type RateOptions,
  slidingWindow,
  type TokenBucketOptions,
  tokenBucket,
} from './pool/limits/rate.ts';
export type { VegasOptions } from './pool/limits/vegas.ts';
export {
  type CloseOptions,
  type CloseReport,
  type Group,
  type GroupOptions,
  type Outcome,
  Pool,
  type PoolHistograms,
  type PoolOptions,
  type PoolStats,
  type QueueOptions,
  type Result,
  type RunOptions,
  type Source,
  type Submission,
  type SubmitOptions,
  type TaskBody,
  type TaskContext,
  type Verdict,
  type WhenFull,
  type WorkerFunction,
} from './pool/pool.ts';
export { move, type ThreadContext, type ThreadWorker } from './pool/threads/context.ts';
export type { ThreadOptions } from './pool/threads/options.ts';
export type { CrewStats } from './pool/threads/stats.ts';
export type { Observer, ServerEvent } from './server/events.ts';
export type { PerformMiddleware } from './server/middleware.ts';
export type { JobServerOptions } from './server/options.ts';
export type { Queues } from './server/queues.ts';
export { JobServer } from './server/server.ts';
export { type StopOnSignalsOptions, stopOnSignals } from './server/signals.ts';
export { GatedSink, type SinkStats } from './sink/gated.ts';
export { compileKeyTemplate, type KeyOf, type KeySource } from './sink/key.ts';
export { openSink, type SinkOptions } from './sink/open.ts';
export type { CredentialProvider, Credentials } from './sink/s3/identity.ts';
export type { S3Options } from './sink/s3/s3.ts';
export type { Sink, SinkObject } from './sink/sink.ts';
