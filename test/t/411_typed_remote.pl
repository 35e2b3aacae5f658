# Copyright (c) 2026, modal_batch contributors

# The shapes of test/typed/shapes.sql with real remote calls: with pipelining
# off and on, same rows, same errors, and never more inputs sent.
# modal-local's log of requests says how many there were.
#
# The tables are smaller than in 410_typed_shapes.pl, since each call of the
# first run takes a round trip; so the exact numbers there do not apply.

use strict;
use warnings FATAL => 'all';

use FindBin;
use ModalLocal;
use ModalTest;
use Test::More;
use TypedShapes;

my $local = ModalLocal->new(files => ["$FindBin::Bin/../typed/shapes.py"]);
my $node  = modal_node('main', local => $local);
setup_shapes($node, rows => 30);
$node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	GRANT USAGE ON FOREIGN SERVER local TO PUBLIC;
	CREATE USER MAPPING FOR PUBLIC SERVER local OPTIONS (token_id 'ak-local', token_secret 'as-local');
	DO $$
	DECLARE
		f regprocedure;
	BEGIN
		FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = prolang
			WHERE lanname = 'plpgsql' AND pronamespace = 'public'::regnamespace
		LOOP
			EXECUTE regexp_replace(replace(pg_get_functiondef(f), 'LANGUAGE plpgsql', 'LANGUAGE modal'),
				'AS \$function\$.*', format('AS %L', 'local:shapes/' || (SELECT proname FROM pg_proc WHERE oid = f)));
		END LOOP;
	END $$;
});

my @shapes = load_shapes($node);

# Results by name of the shape, with the inputs that the service got for it.
# A call of another function in between marks where the next shape begins.
sub run_counted
{
	my ($settings) = @_;
	my $mark = q{SELECT modal_remote('local:builtin/kwargs');};
	my ($current, %function, @inputs);

	$local->clear_log;
	my %result =
	  run_shapes($node, \@shapes, settings => $settings, mark => $mark);
	$current = -1;
	for my $request ($local->requests)
	{
		$function{ $request->{call} } //= $request->{function}
		  if defined $request->{function} && defined $request->{call};
		next if $request->{replayed} || !defined $request->{inputs};

		my $name = $function{ $request->{call} };
		if ($name eq 'builtin/kwargs')   { $current++ }
		elsif ($name =~ m{^shapes/})     { $inputs[$current] += $request->{inputs} }
		else                             { die "unexpected call of $name" }
	}
	is($current, $#shapes, 'every shape was begun');
	$result{ $shapes[$_]{name} }{inputs} = $inputs[$_] // 0 for 0 .. $#shapes;

	# Which input failed is told by its number, and off it is always the first.
	$_->{err} =~ s/^CONTEXT:.*\n//mg for values %result;
	return %result;
}

my %on  = run_counted('');
my %off = run_counted('SET modal_batch.enable_pipelining = off;');

for my $shape (@shapes)
{
	my ($off, $on) = ($off{ $shape->{name} }, $on{ $shape->{name} });

	subtest $shape->{name} => sub {
		is($on->{out}, $off->{out}, 'same rows');
		is($on->{err}, $off->{err}, 'same messages');
		return if $shape->{kind} eq 'error';
		unlike($on->{err}, qr/ERROR/, 'no error');
		cmp_ok($on->{inputs}, '<=', $off->{inputs} * ($shape->{ahead} ? 2 : 1),
			"not more inputs ($off->{inputs})")
		  if $shape->{kind} ne 'any';
	};
}

my $total_off = 0;
my $total_on  = 0;
$total_off += $_->{inputs} for values %off;
$total_on  += $_->{inputs} for values %on;
note "inputs: $total_off off, $total_on on";
cmp_ok($total_on, '>', 0.5 * $total_off, 'calls were made, and counted');

$node->stop;
done_testing();
