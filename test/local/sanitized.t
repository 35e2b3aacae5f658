# Copyright (c) 2026, modal_batch contributors

# A build with AddressSanitizer and UndefinedBehaviorSanitizer serves maps of a
# client that is not ours to trust, with and without faults, and has nothing
# to report.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use ModalLocal;
use Test::More;

my $wire  = dirname(__FILE__) . '/../../bench/wire';
my $local = ModalLocal->new;

# wire exits with 0 only when every input has had its one output.
my $out = `$wire @{[ $local->url ]} @{[ $local->ca_file ]} 20000`;
is($?, 0, 'a map of 20,000 inputs is served');
like($out, qr/\d/, 'and its rate was measured');

# Bytes that are neither TLS nor HTTP, and half a TLS hello.
for my $bytes ("\x00" x 300, "GET / HTTP/0.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . "\xff" x 64)
{
	require IO::Socket::INET;
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $local->port) or die "connect: $!";
	print $socket $bytes;
	close $socket;
}
$out = `$wire @{[ $local->url ]} @{[ $local->ca_file ]} 1000`;
is($?, 0, 'hostile bytes on other connections hurt nobody');

is($local->stop, 0, 'it ends in an orderly way');
unlike($local->errors, qr/Sanitizer|runtime error/, 'the sanitizers have nothing to say');

done_testing();
