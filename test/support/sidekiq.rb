# What the tests of the Sidekiq backend need of Ruby. Works with Sidekiq 6.4 to 8.
#
#   ruby sidekiq.rb console   evaluates lines of Ruby, each a JSON string, and answers with one line of JSON each
#   ruby sidekiq.rb work …    a Sidekiq process with the jobs below; the rest of the line is what `sidekiq` would be given

require "set"
require "json"
require "sidekiq"
require "sidekiq/api"

JOB = defined?(Sidekiq::Job) ? Sidekiq::Job : Sidekiq::Worker

# Says what it was given, in the order of the runs.
class HardJob
  include JOB

  def perform(*args)
    line = JSON.generate({"jid" => jid, "args" => args, "by" => "ruby"})
    Sidekiq.redis { |conn| conn.rpush("seen", line) }
  end
end

class FailingJob
  include JOB
  sidekiq_options retry: 5, backtrace: 3

  def perform(*)
    raise ArgumentError, "no such thing: <&> \u2028 ✉"
  end
end

# The scheduler's step, as a poller of a process does it.
def promote
  require "sidekiq/scheduled"
  enq = Sidekiq::VERSION.start_with?("6.") ? Sidekiq::Scheduled::Enq.new : Sidekiq::Scheduled::Enq.new(Sidekiq.default_configuration)
  enq.enqueue_jobs
  true
end

# A page of Sidekiq Web, as a browser with a session would get it.
def page(method, path, session = {}, params = {})
  require "rack/mock"
  require "sidekiq/web"
  env = {"rack.session" => session, :params => params, "HTTP_SEC_FETCH_SITE" => "same-origin"}
  response = Rack::MockRequest.new(Sidekiq::Web).request(method, path, env)
  [response.status, response.body]
end

# Presses a button of a page: finds the form's token first.
def press(from, path, params)
  session = {}
  _, body = page("GET", from, session)
  token = body[/name=.authenticity_token. value=.([^"']+)/, 1]
  page("POST", path, session, token ? params.merge("authenticity_token" => token) : params).first
end

case ARGV.shift
when "console"
  $stdout.sync = true
  $stdin.each_line do |line|
    begin
      puts JSON.generate({"value" => eval(JSON.parse("[#{line}]").first)})
    rescue Exception => e # standard:disable Lint/RescueException
      puts JSON.generate({"error" => "#{e.class}: #{e.message}"})
    end
  end
when "work"
  require "sidekiq/cli"
  cli = Sidekiq::CLI.instance
  cli.parse(["-r", __FILE__, *ARGV])
  $stdout.sync = true
  cli.run
end
