"""The schema of the GraphQL API: the queries and mutations that the stand-in has, with the fields of Fireflies' schema."""

from __future__ import annotations

from functools import cache

from graphql import GraphQLSchema, build_schema

SCHEMA_TEXT = """
scalar DateTime
enum MeetingState { active paused }
enum MeetingStateAction { pause_recording resume_recording }
enum TranscriptsQueryScope { title sentences all }
input GetActiveMeetingsInput { email: String, states: [MeetingState] }
input UpdateMeetingStateInput { meeting_id: ID!, action: MeetingStateAction! }
input AttendeeInput { displayName: String, email: String, phoneNumber: String }

type Query {
  active_meetings(input: GetActiveMeetingsInput): [ActiveMeeting]
  transcript(id: String!): Transcript
  transcripts(
    title: String, keyword: String, scope: TranscriptsQueryScope, fromDate: DateTime, toDate: DateTime, date: Float,
    limit: Int, skip: Int, host_email: String, organizer_email: String, participant_email: String, user_id: String,
    mine: Boolean, organizers: [String], participants: [String], channel_id: String
  ): [Transcript]
  user(id: String): User
}
type Mutation {
  addToLiveMeeting(
    meeting_link: String!, title: String, meeting_password: String, duration: Int, language: String,
    attendees: [AttendeeInput]
  ): AddToLiveMeetingResponse
  updateMeetingState(input: UpdateMeetingStateInput!): UpdateMeetingStateResponse
}
type AddToLiveMeetingResponse { success: Boolean!, message: String }
type UpdateMeetingStateResponse { success: Boolean!, action: MeetingStateAction! }
type ActiveMeeting {
  id: String, title: String, organizer_email: String, meeting_link: String, start_time: String, end_time: String,
  privacy: String, state: MeetingState
}
type User {
  user_id: String, email: String, name: String, num_transcripts: Int, recent_transcript: String, recent_meeting: String,
  minutes_consumed: Int, is_admin: Boolean, integrations: [String]
}
type Transcript {
  id: ID, title: String, host_email: String, organizer_email: String, user: User, speakers: [Speaker],
  transcript_url: String, participants: [String], meeting_attendees: [MeetingAttendee],
  meeting_attendance: [MeetingAttendance], fireflies_users: [String], workspace_users: [String], duration: Float,
  dateString: DateTime, date: Float, privacy: String, audio_url: String, video_url: String, sentences: [Sentence],
  calendar_id: String, cal_id: String, calendar_type: String, summary: Summary, meeting_info: MeetingInfo,
  meeting_link: String, analytics: MeetingAnalytics, is_live: Boolean
}
type Speaker { id: Int, name: String }
type Sentence {
  index: Int, text: String, raw_text: String, start_time: Float, end_time: Float, speaker_id: Int, speaker_name: String,
  ai_filters: AIFilter
}
type AIFilter {
  task: String, pricing: String, metric: String, question: String, date_and_time: String, text_cleanup: String,
  sentiment: String
}
type MeetingAttendee { displayName: String, email: String, phoneNumber: String, name: String, location: String }
type MeetingAttendance { name: String, join_time: String, leave_time: String }
type MeetingInfo { fred_joined: Boolean, silent_meeting: Boolean, summary_status: String }
type SummarySection { title: String, content: String }
type Summary {
  keywords: [String], action_items: String, outline: String, shorthand_bullet: String, overview: String, notes: String,
  bullet_gist: String, gist: String, short_summary: String, short_overview: String, meeting_type: String,
  topics_discussed: [String], transcript_chapters: [String], extended_sections: [SummarySection]
}
type MeetingAnalytics { sentiments: Sentiments, categories: AnalyticsCategories, speakers: [AnalyticsSpeaker] }
type Sentiments { negative_pct: Float, neutral_pct: Float, positive_pct: Float }
type AnalyticsCategories { questions: Int, date_times: Int, metrics: Int, tasks: Int }
type AnalyticsSpeaker {
  speaker_id: Int, name: String, duration: Float, word_count: Int, longest_monologue: Float, monologues_count: Int,
  filler_words: Int, questions: Int, duration_pct: Float, words_per_minute: Float
}
"""


@cache
def service_schema() -> GraphQLSchema:
    """Return the schema of the API."""
    return build_schema(SCHEMA_TEXT)
